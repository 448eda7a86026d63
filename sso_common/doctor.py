"""Examines a live installation: what a system check cannot see because it is not in the settings.

In: the settings, Redis, the portal, the database. Out: one ``Finding`` for each thing examined, as they
come. Called by ``manage.py sso_doctor``. Every part is asked in a thread of its own with a time limit,
for a thing that hangs is the very thing to find.
"""

from __future__ import annotations

import enum
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import run_checks
from django.db import DatabaseError, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.translation import gettext as _
from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from . import checks, conf, feed, rights, store
from .domains import is_under, may_be_under
from .exceptions import (
    BadSignature,
    PortalUnavailable,
    RequestRefused,
    SSOError,
    StoreUnavailable,
    UnknownKey,
    Untrusted,
)
from .feed import PortalStatus
from .models import Account, FeedCursor

#: Seconds for the whole examination, and for one part of it.
TIMEOUT: Final = 20.0
PART_TIMEOUT: Final = 6.0

#: Seconds between two clocks: what is worth a word, and what makes the portal refuse requests soon.
SKEW_WARNING: Final = 2.0
SKEW_FAILURE: Final = 30.0
#: Seconds that every page waits longer.
SLOW_REDIS: Final = 0.02
#: Seconds without an answer of the feed, while there is something to fetch.
STALE_FEED: Final = 60.0
FULL_MEMORY: Final = 0.9

MINIMUM_VERSIONS: Final = {"redis": (7, 0), "valkey": (7, 2)}

_NEED_DSN: Final = frozenset({"keys", "domain", "internal-url", "proxy"})


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"

    @property
    def status(self) -> int:
        """The exit status that it stands for."""
        return {"ok": 0, "warning": 1, "failure": 2}[self.value]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was examined (a stable name), how it is, and what to do about it."""

    check: str
    level: Level
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, fix: str) -> Finding:
    """It works, and something is wrong all the same."""
    return Finding(check, Level.WARNING, message, fix)


def failure(check: str, message: str, fix: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding(check, Level.FAILURE, message, fix)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among findings."""
    return max((finding.level for finding in findings), key=lambda level: level.status, default=Level.OK)


def examine(hosts: Sequence[str] = (), seconds: float = TIMEOUT) -> Iterator[Finding]:
    """Examine everything, in the order in which one thing needs another.

    ``hosts`` are the names under which browsers know this site; without any, ``ALLOWED_HOSTS`` is
    asked. Takes ``seconds`` at most; what was not reached by then is reported as such.
    """
    bounded = Bounded(seconds)
    is_configured = not checks.check_dsn()
    for name, check in checks.CHECKS.items():
        if is_configured or name not in _NEED_DSN:
            yield from bounded(f"settings.{name}", _settings, name, check)
    yield from bounded("settings.django", django_checks)
    yield from bounded("database.migrations", database_migrations)
    if not is_configured:
        yield _skipped("redis", _("SSO_DSN is not valid"))
        yield _skipped("portal", _("SSO_DSN is not valid"))
        return
    yield from bounded("cookie.host", cookie_host, hosts)
    yield from _redis(bounded)
    if conf.site() != checks.PORTAL:  # at the portal, both are in this very process and database
        yield from bounded("portal.reachable", portal)


def _redis(bounded: Bounded) -> Iterator[Finding]:
    reachable = bounded("redis.reachable", redis_reachable)
    yield from reachable
    if worst(reachable) is Level.FAILURE:
        yield _skipped("redis.server", _("Redis cannot be reached"))
        yield _skipped("redis.rights", _("Redis cannot be reached"))
        return
    yield from bounded("redis.server", redis_server)
    if conf.site() != checks.PORTAL:  # the portal's user may do more, and has to
        yield from bounded("redis.rights", redis_rights)


class Bounded:
    """Runs probes one after the other, each in a thread that is left behind when its time is up."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def __call__(self, check: str, probe: Callable[..., Iterable[Finding]], *arguments: Any) -> list[Finding]:
        limit = min(PART_TIMEOUT, self._deadline - time.monotonic())
        if limit <= 0:
            return [_skipped(check, _("the time was up"))]
        findings: list[Finding] = []
        done = threading.Event()

        def run() -> None:
            try:
                findings.extend(probe(*arguments))
            except Exception as error:  # noqa: BLE001  a broken part is a finding, not the end
                # The class alone: a message may quote addresses with passwords.
                findings.append(failure(check, _unexpected(error), _("See this site's log.")))
            finally:
                connections.close_all()
                done.set()

        threading.Thread(target=run, name=check, daemon=True).start()
        if done.wait(limit):
            return findings
        return [
            *findings,
            failure(
                check,
                _("No answer within %.0f s.") % limit,
                _("Find out what holds it up: the network, name resolution, or the server."),
            ),
        ]


def _skipped(check: str, reason: str) -> Finding:
    return warning(check, _("Not examined: %s.") % reason, _("Repair what is reported first."))


def _unexpected(error: Exception) -> str:
    # StoreUnavailable names the class of what kept Redis from answering.
    name = error.detail if isinstance(error, StoreUnavailable) else type(error).__name__
    return _("This could not be examined: %s.") % name


# --- configuration ---------------------------------------------------------------------------


def _settings(name: str, check: Callable[..., list[Any]]) -> Iterator[Finding]:
    messages = [message for message in check() if not message.is_silenced()]
    for message in messages:
        report = failure if message.is_serious() else warning
        yield report(f"settings.{name}", f"{message.msg} ({message.id})", message.hint or "")
    if not messages:
        yield ok(f"settings.{name}", (check.__doc__ or name).splitlines()[0])


def django_checks() -> Iterator[Finding]:
    """Django's own checks and those of other packages: their errors, not their warnings."""
    serious = [
        message
        for message in run_checks()
        if message.is_serious() and not message.is_silenced() and not str(message.id).startswith("sso.")
    ]
    for message in serious:
        hint = message.hint or _("See `manage.py check`.")
        yield failure("settings.django", f"{message.msg} ({message.id})", hint)
    if not serious:
        yield ok("settings.django", _("Django's own checks find no error."))


def database_migrations() -> Iterator[Finding]:
    """The tables of ``sso_common`` are there, in their newest form."""
    check = "database.migrations"
    alias = router.db_for_write(Account)
    try:
        executor = MigrationExecutor(connections[alias])
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "sso_common"]
        missing = executor.migration_plan(targets)
    except DatabaseError as error:
        yield failure(
            check,
            _("The database %(alias)r does not answer: %(error)s.")
            % {"alias": alias, "error": type(error).__name__},
            _("Start the database, or correct DATABASES in the settings."),
        )
        return
    if missing:
        yield failure(
            check,
            _("%d migrations of sso_common are not applied.") % len(missing),
            _("Run: manage.py migrate"),
        )
        return
    yield ok(check, _("The tables of sso_common are up to date."))


def cookie_host(hosts: Sequence[str]) -> Iterator[Finding]:
    """A browser sends the SSO cookie to this site."""
    check, domain = "cookie.host", conf.domain()
    for host in hosts:
        if is_under(urlsplit(f"//{host}").hostname or "", domain):
            yield ok(check, _("The SSO cookie for %(domain)s reaches %(host)s.") % _names(domain, host))
        else:
            yield failure(
                check,
                _("The SSO cookie for %(domain)s never reaches %(host)s.") % _names(domain, host),
                _("Serve this site under a name that ends with .%s") % domain,
            )
    if hosts:
        return
    # Without ALLOWED_HOSTS, DEBUG admits these.
    patterns = [each for each in settings.ALLOWED_HOSTS or [".localhost"] if may_be_under(each, domain)]
    if patterns and patterns != ["*"]:
        hosts_text = ", ".join(each for each in patterns if each != "*")
        yield ok(check, _("The SSO cookie for %(domain)s reaches %(host)s.") % _names(domain, hosts_text))
    elif patterns:
        yield warning(
            check,
            _("ALLOWED_HOSTS admits any host, so nobody can tell whether the SSO cookie reaches this site."),
            _("Name the host that browsers use: manage.py sso_doctor --host=<host>"),
        )
    else:
        yield failure(
            check,
            _("No host in ALLOWED_HOSTS is under %s, so the SSO cookie never reaches this site.") % domain,
            _("Serve this site under a name that ends with .%s, and add it to ALLOWED_HOSTS.") % domain,
        )


def _names(domain: str, host: str) -> dict[str, str]:
    return {"domain": domain, "host": host}


# --- Redis -----------------------------------------------------------------------------------


def redis_reachable() -> Iterator[Finding]:
    """Redis answers to this site's user, and soon."""
    check = "redis.reachable"
    times = []
    try:
        client = store.client()
        for _round in range(5):
            began = time.perf_counter()
            client.ping()
            times.append(time.perf_counter() - began)
    except (RedisError, OSError) as error:
        yield failure(check, *_redis_trouble(error))
        return
    seconds = statistics.median(times)
    if seconds > SLOW_REDIS:
        yield warning(
            check,
            _("Redis takes %.0f ms to answer, and so does every page that looks at the session.")
            % (1000 * seconds),
            _("Bring this server and Redis closer together, or find out what keeps Redis busy."),
        )
        return
    yield ok(check, _("Redis answers within %.1f ms.") % (1000 * seconds))


def _redis_trouble(error: Exception) -> tuple[str, str]:
    dsn = conf.dsn()
    address = urlsplit(dsn.redis_url).netloc.rpartition("@")[2]
    if isinstance(error, AuthenticationError) or "WRONGPASS" in str(error):
        return (
            _("Redis at %s refuses this site's user or password.") % address,
            _(
                "At the portal, run: manage.py sso_site acl. Then set SSO_DSN to what manage.py sso_site dsn "
                "%s prints."
            )
            % dsn.site,
        )
    if isinstance(error, NoPermissionError):
        return (
            _("Redis at %s lets this site's user do nothing, not even PING.") % address,
            _("At the portal, run: manage.py sso_site acl"),
        )
    return (
        _("Redis at %(address)s does not answer (%(error)s).")
        % {"address": address, "error": type(error).__name__},
        _(
            "Start Redis, or let this server through to it. redis= in SSO_DSN has to be its address as seen "
            "from here."
        ),
    )


def redis_server() -> Iterator[Finding]:
    """Version, role, persistence and eviction, of every primary where there are several."""
    try:
        facts = [_facts("server"), _facts("replication"), _facts("persistence"), _facts("memory")]
    except NoPermissionError:
        yield warning(
            "redis.server",
            _("This site's Redis user may not see INFO, so version and persistence are unknown."),
            _("At the portal, run: manage.py sso_site acl"),
        )
        return
    for node in facts[0]:
        server, replication, persistence, memory = (fact.get(node, {}) for fact in facts)
        at = f" ({node})" if node else ""
        yield _version(server, at)
        yield _role(replication, server, at)
        yield _persistence(persistence, server, at)
        yield _eviction(memory, at)


def _facts(section: str) -> Mapping[str, Mapping[str, Any]]:
    """Node -> its INFO; the one server of no cluster has no name."""
    client: Any = store.client()
    if not isinstance(client, RedisCluster):
        return {"": client.info(section)}
    answer: Mapping[str, Any] = client.info(section, target_nodes=RedisCluster.PRIMARIES)
    # One node answers for itself; several as a mapping.
    return answer if all(isinstance(each, dict) for each in answer.values()) else {"": answer}


def _version(server: Mapping[str, Any], at: str) -> Finding:
    check = "redis.version"
    kind = "valkey" if "valkey_version" in server else "redis"
    text = str(server.get(f"{kind}_version", ""))
    version = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    minimum = MINIMUM_VERSIONS[kind]
    name = kind.capitalize()
    if version < minimum:
        return failure(
            check,
            _("%(name)s %(version)s%(at)s is too old.") % {"name": name, "version": text or "?", "at": at},
            _("Run Redis 7.0, Valkey 7.2, or newer."),
        )
    return ok(check, f"{name} {text}{at}.")


def _role(replication: Mapping[str, Any], server: Mapping[str, Any], at: str) -> Finding:
    check = "redis.role"
    if replication.get("role") != "master":
        return failure(
            check,
            _("This is a replica%s: it refuses writes, and may not know yet that a session has ended.") % at,
            _("At the portal, set SSO_SITE_REDIS_URL to the primary's address, then set SSO_DSN anew."),
        )
    mode = server.get("redis_mode") or server.get("server_mode")  # Redis; Valkey since 8
    if mode == "cluster" and not conf.dsn().is_cluster:
        return failure(
            check,
            _("This is a node of a cluster%s, and SSO_DSN takes it for a single server.") % at,
            _("At the portal, write redis-cluster:// in SSO_REDIS_URL, then set SSO_DSN anew."),
        )
    return ok(check, _("This is a primary%s.") % at)


def _persistence(persistence: Mapping[str, Any], server: Mapping[str, Any], at: str) -> Finding:
    check = "redis.persistence"
    fix = _("Set in redis.conf: appendonly yes (and appendfsync everysec)")
    if persistence.get("aof_enabled"):
        if persistence.get("aof_last_write_status", "ok") != "ok":
            return failure(
                check,
                _("Redis%s cannot write its append-only file.") % at,
                _("Look at its log; the disk may be full."),
            )
        return ok(check, _("The append-only file is on%s.") % at)
    # A site may not read the configuration. A server that has run for hours and never saved a change does
    # not save at all.
    hours = int(server.get("uptime_in_seconds", 0)) / 3600
    unsaved = int(persistence.get("rdb_changes_since_last_save", 0))
    if hours > 2 and unsaved and not int(persistence.get("rdb_saves", 1)):
        return failure(
            check, _("Redis%s saves nothing: when it restarts, everybody is signed out.") % at, fix
        )
    return warning(
        check,
        _(
            "The append-only file is off%s: after a crash, those who signed in lately are signed out, and "
            "those who signed out lately are signed in again."
        )
        % at,
        fix,
    )


def _eviction(memory: Mapping[str, Any], at: str) -> Finding:
    check = "redis.eviction"
    policy = memory.get("maxmemory_policy", "")
    if policy != "noeviction":
        return failure(
            check,
            _("Redis%(at)s has maxmemory-policy %(policy)s: when it is full, it signs people out at random.")
            % {"at": at, "policy": policy or "?"},
            _("Set in redis.conf: maxmemory-policy noeviction"),
        )
    limit, used = int(memory.get("maxmemory", 0)), int(memory.get("used_memory", 0))
    if limit and used > FULL_MEMORY * limit:
        report = failure if used >= limit else warning
        return report(
            check,
            _("Redis%(at)s uses %(share).0f %% of its memory; when it is full, nobody can sign in.")
            % {"at": at, "share": 100 * used / limit},
            _("Raise maxmemory in redis.conf."),
        )
    return ok(check, _("Nothing is evicted (noeviction)%s.") % at)


def redis_rights() -> Iterator[Finding]:
    """This site's Redis user may do what a site has to, and no more."""
    check = "redis.rights"
    fix = _("At the portal, run: manage.py sso_site acl")
    yield _user()
    try:
        missing, excessive = rights.missing_rights(), rights.excessive_rights()
    except (RedisError, StoreUnavailable, OSError) as error:
        yield failure(check, _unexpected(error), _("Run this again."))
        return
    if missing:
        yield failure(check, _("This site's Redis user may not: %s.") % _list(missing), fix)
    if excessive:
        yield failure(check, _("This site's Redis user may do too much. It may: %s.") % _list(excessive), fix)
    if not missing and not excessive:
        yield ok(check, _("This site's Redis user may do what it has to, and no more."))


def _user() -> Finding:
    check, wanted = "redis.user", conf.dsn().redis_user
    try:
        client: Any = store.client()
        where = {"target_nodes": RedisCluster.RANDOM} if isinstance(client, RedisCluster) else {}
        answer = client.execute_command("ACL WHOAMI", **where)
    except NoPermissionError:
        return warning(
            check,
            _("This site's Redis user may not see its own name."),
            _("At the portal, run: manage.py sso_site acl"),
        )
    except (RedisError, OSError) as error:
        return failure(check, _unexpected(error), _("Run this again."))
    if isinstance(answer, dict):  # a cluster may answer by node
        answer = next(iter(answer.values()))
    name = answer.decode() if isinstance(answer, bytes) else str(answer)
    if name != wanted:
        return warning(
            check,
            _("Redis knows this site as %(name)r, and its own user is %(wanted)r.")
            % {"name": name, "wanted": wanted},
            _("Set SSO_DSN to what manage.py sso_site dsn prints: it names no Redis user and no password."),
        )
    return ok(check, _("Redis knows this site as %r.") % name)


def _list(rights: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(rights))


# --- the portal ------------------------------------------------------------------------------


def portal() -> Iterator[Finding]:
    """The portal answers to this site; clocks, keys and users agree."""
    try:
        status = feed.fetch_status()
    except SSOError as error:
        trouble = _portal_trouble(error)
        yield trouble
        for check in ("portal.clock", "portal.keys", "feed"):
            if check != trouble.check:
                yield _skipped(check, _("the portal gave no answer that this site trusts"))
        return
    yield ok(
        "portal.reachable",
        _("%(address)s answers within %(ms).0f ms.")
        % {"address": conf.portal_internal_url(), "ms": 1000 * status.round_trip},
    )
    yield ok("portal.secret", _("The portal accepts this site's secret."))
    yield _clock(status)
    yield _keys(status)
    yield _feed(status)


def _portal_trouble(error: SSOError) -> Finding:
    site = conf.site()
    renew = _("Set SSO_DSN to what manage.py sso_site dsn %s prints at the portal.") % site
    address = conf.portal_internal_url()
    if isinstance(error, PortalUnavailable):
        return failure(
            "portal.reachable",
            _("The portal does not answer (%s). Nobody can sign in; who is signed in stays so.")
            % error.detail,
            _("Start the portal, or set SSO_PORTAL_INTERNAL_URL to its address as seen from this server."),
        )
    if isinstance(error, RequestRefused):
        return _refusal(error.detail, site, renew)
    if isinstance(error, (UnknownKey, BadSignature)):
        return failure(
            "portal.keys",
            _("The answer from %s is not signed with a key that this site knows.") % address,
            _("Make sure that this is the portal's address. If it is: %s") % renew,
        )
    if isinstance(error, Untrusted):
        return failure(
            "portal.reachable",
            _("The answer from %s is not in a form that this site understands.") % address,
            _("Bring the portal and this site to versions of sso_common that belong together."),
        )
    return failure("portal.reachable", _unexpected(error), _("See this site's log."))


def _refusal(detail: str, site: str, renew: str) -> Finding:
    if detail.startswith("stale"):
        return failure(
            "portal.clock",
            _("The portal refuses requests of this site because the clocks disagree: %s.") % detail,
            _("Run a time service (NTP) on both machines."),
        )
    if detail.startswith("a redirect"):
        return failure(
            "portal.reachable",
            _("The portal's address answers with %s.") % detail,
            _("Set SSO_PORTAL_INTERNAL_URL to the portal's own address, or do not set it."),
        )
    # The portal does not tell strangers which of the two it is; its log does.
    return failure(
        "portal.secret",
        _("The portal knows no active site named %(site)s, or does not accept this site's secret (%(why)s).")
        % {"site": site, "why": detail},
        _("At the portal, look at: manage.py sso_site list. If the site is there and active: %s") % renew,
    )


def _clock(status: PortalStatus) -> Finding:
    check = "portal.clock"
    # Half the time of travel is what the comparison cannot know.
    certain = max(0.0, abs(status.skew) - status.round_trip / 2)
    message = _("The portal's clock is %+.1f s off this machine's.") % status.skew
    fix = _("Run a time service (NTP) on both machines.")
    if certain > SKEW_FAILURE:
        return failure(check, message, fix)
    if certain > SKEW_WARNING:
        return warning(check, message, fix)
    return ok(check, message)


def _keys(status: PortalStatus) -> Finding:
    check = "portal.keys"
    ours, theirs = {kid for kid, _key in conf.public_keys()}, set(status.kids)
    fix = _("Set SSO_DSN to what manage.py sso_site dsn %s prints at the portal.") % conf.site()
    if new := theirs - ours:
        return warning(
            check,
            _(
                "The portal has a key that this site does not know (%s). Once it signs with it, nobody "
                "can sign in here."
            )
            % ", ".join(sorted(new)),
            fix,
        )
    if old := ours - theirs:
        return warning(
            check,
            _("This site trusts a key that the portal has retired (%s).") % ", ".join(sorted(old)),
            fix,
        )
    return ok(check, _("Both sides know the same keys: %s.") % ", ".join(sorted(ours)))


def _feed(status: PortalStatus) -> Finding:
    check = "feed"
    follow = _("Keep this running, as a service: manage.py sso_sync --follow")
    try:
        cursor = FeedCursor.load()
    except DatabaseError as error:
        return failure(check, _unexpected(error), _("Run: manage.py migrate"))
    if cursor.position > status.head:
        return failure(
            check,
            _(
                "This site has read up to version %(position)d, and the portal has only %(head)d: it was "
                "restored from a backup, or is another one."
            )
            % {"position": cursor.position, "head": status.head},
            _("Run: manage.py sso_sync --full"),
        )
    if cursor.synced_at is None:
        return warning(check, _("This site has never read the portal's feed of users."), follow)
    age = (timezone.now() - cursor.synced_at).total_seconds()
    behind = status.head - cursor.position
    where = {"behind": behind, "age": age}
    if behind and age > max(STALE_FEED, 3 * conf.poll_interval()):
        return warning(
            check,
            _("This site is %(behind)d versions behind the portal and has not asked for %(age).0f s.")
            % where,
            follow,
        )
    return ok(check, _("%(behind)d versions behind the portal; it was last asked %(age).0f s ago.") % where)
