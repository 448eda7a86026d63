"""Probes of the connection to Redis and its user."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from sso_common import conf, store
from sso_common.exceptions import StoreRefused, StoreUnavailable
from sso_common.store import administration

from .findings import Finding, failure, ok, renew_dsn, warning

#: Seconds. Every page that reads the session takes this much longer.
SLOW: Final = 0.02

CHECK_ACL: Final = "At the portal, run: manage.py sso_site acl --check"


def reachable() -> Iterator[Finding]:
    """Examine whether Redis answers this site's user, and how fast."""
    check = "redis.reachable"
    try:
        seconds = statistics.median(time_ping() for _ in range(5))
    except StoreUnavailable as error:
        yield unreachable(error)
        return
    if seconds > SLOW:
        yield warning(
            check,
            f"Redis takes {1000 * seconds:.0f} ms to answer, and delays every page that reads the session.",
            "Move this server and Redis closer together, or find out what keeps Redis busy.",
        )
    else:
        yield ok(check, f"Redis answers within {1000 * seconds:.1f} ms.")


def time_ping() -> float:
    began = time.perf_counter()
    store.ping()
    return time.perf_counter() - began


def unreachable(error: StoreUnavailable) -> Finding:
    address = urlsplit(conf.dsn().redis_url).netloc.rpartition("@")[2]
    if isinstance(error, StoreRefused):
        message = f"Redis at {address} refuses PING from this site's user ({error.detail})."
        fix = CHECK_ACL
    elif error.detail == "AuthenticationError":
        message = f"Redis at {address} refuses this site's user or password."
        fix = f"At the portal, run: manage.py sso_site acl. {renew_dsn()}"
    else:
        message = f"Redis at {address} does not answer ({error.detail})."
        fix = (
            "Start Redis, or let this server connect to it. redis= in SSO_DSN must be the address of "
            "Redis as seen from this server."
        )
    return failure("redis.reachable", message, fix)


def user() -> Iterator[Finding]:
    """Examine whether this site uses its own Redis user."""
    own = conf.dsn().redis_user
    try:
        name = administration.user_name()
    except StoreRefused as error:
        yield refused("ACL WHOAMI", error)
        return
    if name == own:
        yield ok("redis.user", f"This site uses its own Redis user, {own!r}.")
    else:
        yield warning(
            "redis.user", f"This site uses the Redis user {name!r} instead of its own, {own!r}.", renew_dsn()
        )


def refused(command: str, error: StoreRefused) -> Finding:
    """Report that Redis refuses a command that the doctor runs. Other permissions are not examined."""
    return warning(
        "redis.rights",
        f"Redis refuses {command} from this site's user ({error.detail}).",
        CHECK_ACL,
    )
