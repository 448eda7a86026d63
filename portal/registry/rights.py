"""Checks the Redis users of the sites: each may do what its site needs, and no more.

``ACL DRYRUN`` says whether a user may run a command, and does not run it. So dangerous commands can be
tried, and names do not have to exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sso_common import conf
from sso_common.dsn import redis_user
from sso_common.keys import PORTAL
from sso_common.store import (
    administration,
    anonymous_key,
    events_key,
    identity_key,
    nonce_key,
    site_key,
    user_key,
)

#: What is allowed or forbidden, and commands that prove it. In braces: names in ``names_for``.
Rights = Mapping[str, tuple[str, ...]]

SID: Final = "A" * 22

NEEDED: Final[Rights] = {
    "connect": ("PING", "HELLO 3", "SELECT 0", "CLIENT SETNAME x", "INFO server", "ACL WHOAMI"),
    "read identity records": ("GET {identity}", "PTTL {identity}"),
    "end a session": ("UNLINK {identity}",),
    "extend a session": ("PEXPIRE {identity} 1000 GT",),
    "read its own sessions": ("HGETALL {own}", "PTTL {own}"),
    "write its own sessions": ("HSET {own} f v", "HSETNX {own} f v", "HDEL {own} f", "PEXPIRE {own} 1000 GT"),
    "delete its own sessions": ("UNLINK {own}",),
    "run scripts on its own sessions": ("EVAL x 1 {own}", "EVALSHA {sha} 1 {own}"),
    "read its own anonymous sessions": ("HGETALL {own_anonymous}", "EXISTS {own_anonymous}"),
    "write its own anonymous sessions": ("HSET {own_anonymous} f v", "PEXPIRE {own_anonymous} 1000"),
    "delete its own anonymous sessions": ("UNLINK {own_anonymous}",),
    "run scripts on its own anonymous sessions": (
        "EVAL x 1 {own_anonymous}",
        "EVALSHA {sha} 1 {own_anonymous}",
    ),
    "add events": ("XADD {events} * type x",),
    "read the events": ("XREAD STREAMS {events} $",),
}

NEEDED_IN_CLUSTER: Final[Rights] = {
    "find nodes": ("CLUSTER SLOTS", "CLUSTER SHARDS", "COMMAND", "ASKING"),
}

FORBIDDEN: Final[Rights] = {
    "write identity records": (
        "SET {identity} x",
        "HSET {identity} f v",
        "HDEL {identity} f",
        "PERSIST {identity}",
        "RENAME {own} {identity}",
        "COPY {own} {identity}",
        "RESTORE {identity} 0 x",
    ),
    "run scripts on identity records": ("EVAL x 1 {identity}", "EVALSHA {sha} 1 {identity}"),
    "read other sites' sessions": ("HGETALL {portal}", "HGETALL {similar}", "HGETALL {similar_anonymous}"),
    "write other sites' sessions": (
        "HDEL {portal} f",
        "HDEL {similar} f",
        "HDEL {similar_anonymous} f",
        "UNLINK {similar}",
        "EVAL x 1 {similar}",
        "EVAL x 1 {similar_anonymous}",
    ),
    "read the portal's keys": (
        "GET {nonce}",
        "GET {cache}",
        "EXISTS {index}",
        "ZCARD {index}",
        "ZRANGE {index} 0 -1",
    ),
    "write the portal's keys": ("SET {nonce} x", "UNLINK {nonce}", "UNLINK {index}", "ZREM {index} m"),
    "read other namespaces": ("GET {foreign}", "HGETALL {foreign}"),
    "write other namespaces": ("HDEL {foreign} f", "UNLINK {foreign}"),
    "delete events": ("XDEL {events} 0-1", "XTRIM {events} MAXLEN 0", "UNLINK {events}", "EVAL x 1 {events}"),
    "list keys": ("KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE"),
    "delete all keys": ("FLUSHALL", "FLUSHDB", "SWAPDB 0 1"),
    "read or change the configuration": ("CONFIG GET maxmemory", "CONFIG SET maxmemory 0"),
    "read or change the Redis users": ("ACL USERS", "ACL LIST", "ACL SETUSER x", "ACL DELUSER x"),
    "see commands of others": ("MONITOR", "SLOWLOG GET", "CLIENT LIST", "SUBSCRIBE x", "PUBLISH x y"),
    "control the server": ("SHUTDOWN", "REPLICAOF NO ONE", "CLIENT KILL ID 1", "SCRIPT FLUSH", "BGSAVE"),
    "use functions": ("FUNCTION LIST", "FUNCTION FLUSH"),
    "control the cluster": ("CLUSTER RESET", "CLUSTER FAILOVER"),
}


def check(site: str) -> list[str]:
    """Return the problems with a site's Redis user, in words. Raises ``StoreUnavailable``.

    In a cluster, every node has its own users; a problem of some nodes names them.
    """
    user = redis_user(conf.dsn().namespace, site)
    found = administration.everywhere("ACL GETUSER", user)
    if absent := {node for node, answer in found.items() if answer is None}:
        return [f"no Redis user {user}{at(absent, set(found))}"]
    needed = {**NEEDED, **NEEDED_IN_CLUSTER} if administration.is_cluster() else NEEDED
    off = {node for node, answer in found.items() if not answer["enabled"]}
    is_open = {node for node, answer in found.items() if "nopass" in answer["flags"]}
    return [
        *([f"disabled{at(off, set(found))}"] if off else []),
        *([f"excessive: connect without a password{at(is_open, set(found))}"] if is_open else []),
        *(f"missing: {what}" for what in violations(site, user, needed, allowed=True)),
        *(f"excessive: {what}" for what in violations(site, user, FORBIDDEN, allowed=False)),
    ]


def violations(site: str, user: str, rights: Rights, *, allowed: bool) -> Iterator[str]:
    """Yield the rights that are not as they should be."""
    names = names_for(site)
    for what, commands in rights.items():
        wrong: set[str] = set()
        nodes: set[str] = set()
        for command in commands:
            answers = administration.is_allowed(user, *command.format(**names).split())
            nodes |= answers.keys()
            wrong |= {node for node, answer in answers.items() if answer != allowed}
        if wrong:
            yield f"{what}{at(wrong, nodes)}"


def at(nodes: set[str], all_nodes: set[str]) -> str:
    """Name some of the nodes of a cluster; all of them need no names."""
    return "" if nodes == all_nodes else f" (at {', '.join(sorted(nodes))})"


def names_for(site: str) -> dict[str, str]:
    """Return the names that the commands above use, for one site."""
    namespace = conf.dsn().namespace
    # A name that starts like this site's name finds a pattern that ends too early.
    similar = f"{site}0"
    return {
        "sha": "0" * 40,
        "identity": identity_key(namespace, SID),
        "own": site_key(namespace, SID, site),
        "own_anonymous": anonymous_key(namespace, site, SID),
        "portal": site_key(namespace, SID, PORTAL),
        "similar": site_key(namespace, SID, similar),
        "similar_anonymous": anonymous_key(namespace, similar, SID),
        "index": user_key(namespace, SID),
        "nonce": nonce_key(namespace, site, SID),
        "cache": f"{namespace}:portal-cache:1:x",
        "events": events_key(namespace),
        "foreign": identity_key(f"{namespace}-other", SID),
    }
