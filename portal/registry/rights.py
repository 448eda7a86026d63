"""Checks the Redis users of the sites: each has exactly the settings that the portal gives it.

A list of commands to try would be incomplete. So a check creates a second user with the rules of
``acl``, lets Redis describe both, and compares the descriptions.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from sso_common import conf
from sso_common.dsn import redis_user
from sso_common.store import administration

from . import acl
from .models import Site


def check(site: Site) -> list[str]:
    """Return the problems with a site's Redis user, in words. Raises ``StoreUnavailable``.

    In a cluster, every node has its own users; a problem of some nodes names them.
    """
    user = redis_user(conf.dsn().namespace, site.name)
    actual = administration.everywhere("ACL GETUSER", user)
    if absent := {node for node, answer in actual.items() if answer is None}:
        return [f"no Redis user {user}{at(absent, set(actual))}"]
    expected = expected_user(site, user)
    nodes: dict[str, set[str]] = defaultdict(set)
    for node in expected:
        has, needs = set(described(actual[node])), set(described(expected[node]))
        for problem in [
            *([] if actual[node]["enabled"] else ["disabled"]),
            *(f"missing: {what}" for what in needs - has),
            *(f"added: {what}" for what in has - needs),
        ]:
            nodes[problem].add(node)
    return sorted(f"{problem}{at(where, set(expected))}" for problem, where in nodes.items())


def expected_user(site: Site, user: str) -> dict[str, Mapping[str, Any]]:
    """{node: what Redis answers about a user with a site's rules}. The user exists for the question only,
    and nobody can log in as it."""
    # No site's name contains a dot.
    name = f"{user}.check.{secrets.token_hex(8)}"
    try:
        acl.set_user(name, site, "off")
        return administration.everywhere("ACL GETUSER", name)
    finally:
        administration.everywhere("ACL DELUSER", name)


def described(user: Mapping[str, Any]) -> Iterator[str]:
    """Yield each setting of a user, of an answer to ``ACL GETUSER``, much like a rule of ``ACL SETUSER``."""
    yield from (f"flag {flag}" for flag in user["flags"] if flag not in ("on", "off"))
    yield from (f"password #{digest[:8]}…" for digest in user["passwords"])
    yield from (*user["categories"], *user["commands"], *user["keys"], *user["channels"])
    for selector in user["selectors"]:
        # RESP2 and RESP3 differ.
        parts = selector.values() if isinstance(selector, dict) else selector[1::2]
        yield f"({' '.join(filter(None, parts))})"


def at(nodes: set[str], all_nodes: set[str]) -> str:
    """Name some of the nodes of a cluster; all of them need no names."""
    return "" if nodes == all_nodes else f" (at {', '.join(sorted(nodes))})"
