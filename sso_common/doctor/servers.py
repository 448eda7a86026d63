"""Probes of the Redis servers: version, role, persistence and eviction."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from sso_common import conf
from sso_common.exceptions import StoreRefused
from sso_common.store import administration

from .findings import Finding, failure, ok, warning
from .redis import refused

#: The fields of INFO.
Info: TypeAlias = Mapping[str, Any]

#: The share of ``maxmemory`` in use.
ALMOST_FULL: Final = 0.9
#: Seconds of uptime after which a server that saves at all has saved.
LONG_UPTIME: Final = 2 * 3600

MINIMUM_VERSIONS: Final = {"redis": (7, 0), "valkey": (7, 2)}


def servers() -> Iterator[Finding]:
    """Examine the server, or every primary of a cluster."""
    try:
        nodes = administration.info("default")
    except StoreRefused as error:
        yield refused("INFO", error)
        return
    for node, info in nodes.items():
        at = f" ({node})" if node else ""
        yield version(info, at)
        yield role(info, at)
        yield persistence(info, at)
        yield eviction(info, at)


def version(info: Info, at: str) -> Finding:
    kind = "valkey" if "valkey_version" in info else "redis"
    text = str(info.get(f"{kind}_version", ""))
    name = f"{kind.capitalize()} {text or '?'}{at}"
    if tuple(int(part) for part in re.findall(r"\d+", text)[:2]) < MINIMUM_VERSIONS[kind]:
        return failure("redis.version", f"{name} is too old.", "Use Redis 7.0, Valkey 7.2, or newer.")
    return ok("redis.version", f"{name}.")


def role(info: Info, at: str) -> Finding:
    check = "redis.role"
    if info.get("role") != "master":
        return failure(
            check,
            f"This server is a replica{at}: it refuses writes, and may miss that a session has ended.",
            "At the portal, set SSO_SITE_REDIS_URL to the primary's address. Then update SSO_DSN here.",
        )
    mode = info.get("redis_mode") or info.get("server_mode")  # Redis; Valkey since 8
    if mode == "cluster" and not conf.dsn().is_cluster:
        return failure(
            check,
            f"This server is a node of a cluster{at}, but SSO_DSN treats it as a single server.",
            "At the portal, write redis-cluster:// in SSO_REDIS_URL. Then update SSO_DSN here.",
        )
    return ok(check, f"This server is a primary{at}.")


def persistence(info: Info, at: str) -> Finding:
    check, fix = "redis.persistence", "Write in redis.conf: appendonly yes (and appendfsync everysec)"
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status", "ok") == "ok":
            return ok(check, f"The append-only file is on{at}.")
        message = f"Redis{at} cannot write its append-only file."
        return failure(check, message, "Read the log of Redis; the disk may be full.")
    if never_saves(info):
        return failure(check, f"Redis{at} saves nothing: a restart signs out every user.", fix)
    return warning(
        check,
        f"The append-only file is off{at}: a crash loses recent sign-ins, and brings back sessions that "
        "ended recently.",
        fix,
    )


def never_saves(info: Info) -> bool:
    """Whether Redis has unsaved changes and no snapshot after hours. A site may not read its ``save``."""
    unsaved = int(info.get("rdb_changes_since_last_save", 0))
    uptime = int(info.get("uptime_in_seconds", 0))
    return uptime > LONG_UPTIME and unsaved > 0 and not int(info.get("rdb_saves", 1))


def eviction(info: Info, at: str) -> Finding:
    policy = info.get("maxmemory_policy", "?")
    if policy != "noeviction":
        message = f"Redis{at} has maxmemory-policy {policy}: when its memory is full, it signs users out."
        return failure("redis.eviction", message, "Write in redis.conf: maxmemory-policy noeviction")
    return memory(info, at)


def memory(info: Info, at: str) -> Finding:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if not limit or used <= ALMOST_FULL * limit:
        return ok("redis.eviction", f"Redis{at} evicts nothing (noeviction).")
    report = failure if used >= limit else warning
    message = f"Redis{at} uses {used / limit:.0%} of its memory. When it is full, users cannot sign in."
    return report("redis.eviction", message, "Raise maxmemory in redis.conf.")
