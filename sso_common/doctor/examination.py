"""The examination: every probe, in the order in which one needs another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sso_common import checks, conf
from sso_common.keys import PORTAL

from . import chain, configuration, portal, redis, servers
from .bounded import Bounded
from .findings import Finding, Level, skipped, worst

#: Seconds for the whole examination.
TIMEOUT: Final = 20.0

#: The system checks that say nothing without a valid DSN.
NEED_DSN: Final = frozenset({"keys", "domain", "internal-url", "proxy"})


def examine(hosts: Sequence[str] = (), seconds: float = TIMEOUT) -> Iterator[Finding]:
    """Examine everything within ``seconds``, and yield each finding as it comes.

    ``hosts`` are the host names that browsers use for this site, by default those of
    ``ALLOWED_HOSTS``. What is not reached in time is reported as not examined.
    """
    bounded = Bounded(seconds)
    is_configured = not checks.check_dsn()
    yield from examine_settings(bounded, is_configured)
    database = bounded("database.migrations", configuration.migrations)
    yield from database
    if not is_configured:
        yield skipped("redis", "SSO_DSN is not valid")
        yield skipped("portal", "SSO_DSN is not valid")
        return
    yield from bounded("cookie.host", configuration.cookie_host, hosts)
    is_site = conf.dsn().site != PORTAL
    if is_site and worst(database) is not Level.FAILURE:
        yield from bounded("database.passwords", configuration.passwords)
    if is_site:
        yield from bounded("middleware", chain.middlewares, hosts)
    yield from examine_redis(bounded, is_site)
    if is_site:
        yield from bounded("portal.reachable", portal.reachable)


def examine_settings(bounded: Bounded, is_configured: bool) -> Iterator[Finding]:
    for name in checks.CHECKS:
        if is_configured or name not in NEED_DSN:
            yield from bounded(f"settings.{name}", configuration.system_check, name)
    yield from bounded("settings.django", configuration.django_checks)


def examine_redis(bounded: Bounded, is_site: bool) -> Iterator[Finding]:
    """Examine Redis. The portal's user is the operator's choice, so only a site's is examined."""
    probes = {"redis.server": servers.servers} | ({"redis.user": redis.user} if is_site else {})
    reachable = bounded("redis.reachable", redis.reachable)
    yield from reachable
    for check, probe in probes.items():
        if worst(reachable) is Level.FAILURE:
            yield skipped(check, "Redis cannot be reached")
        else:
            yield from bounded(check, probe)
