"""The Redis users of the sites: what each may do, and no more.

In: a registered site. Out: an ACL user in Redis, ``<namespace>-<site>``. The portal alone runs this,
with its own privileged Redis user; ``store.answering`` turns a failure into ``StoreUnavailable``.
"""

from __future__ import annotations

import hashlib
import logging

from portal import keys
from sso_common import conf
from sso_common.exceptions import StoreRefused
from sso_common.store import administration

from .models import Site

logger = logging.getLogger("portal.registry")

#: To connect, and for ``sso_doctor`` to see version, persistence, eviction and its own name.
_CONNECTION = (
    "+auth",
    "+hello",
    "+ping",
    "+quit",
    "+select",
    "+client|setname",
    "+info",
    "+acl|whoami",
)
#: Redis 7.0 does not know it and refuses a rule with its name; its clients do without.
_SINCE_7_2 = ("+client|setinfo",)
#: What a cluster's client needs to find the right node.
_CLUSTER = ("+cluster|slots", "+cluster|shards", "+command", "+asking")
_READING = ("+get", "+pttl", "+exists", "+hgetall")
_WRITING = ("+hset", "+hsetnx", "+hdel", "+unlink", "+pexpire", "+eval", "+evalsha")


def rules(site: str, passwords: list[str], *, cluster: bool = False, old: bool = False) -> list[str]:
    """The arguments of ``ACL SETUSER`` for a site.

    A command is allowed where the root permissions or one selector allow it for all of its keys. So
    reading an identity comes from the root, and ending or extending one from a selector, which lets
    no script (it needs write permission on all its keys) near an identity record.
    """
    namespace = conf.namespace()
    hashes = [f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords]
    return [
        "reset",
        "on",
        *hashes,
        f"%R~{namespace}:{{*}}:identity",
        f"~{namespace}:{{*}}:site:{site}",
        f"~{namespace}:anon:{site}:*",
        *_CONNECTION,
        *(() if old else _SINCE_7_2),
        *(_CLUSTER if cluster else ()),
        *_READING,
        *_WRITING,
        f"(%W~{namespace}:{{*}}:identity +unlink +pexpire)",
        f"(~{namespace}:events +xadd +xread)",
    ]


def user_name(site: str) -> str:
    """The name of a site's Redis user."""
    return f"{conf.namespace()}-{site}"


def grant(site: Site) -> None:
    """Create a site's Redis user, or set it to exactly what it should be. Raises ``StoreUnavailable``."""
    passwords = [each.redis_password for each in _keys_of(site)]
    cluster = administration.is_cluster()
    name = user_name(site.name)
    try:
        administration.everywhere("ACL SETUSER", name, *rules(site.name, passwords, cluster=cluster))
    except StoreRefused:
        administration.everywhere(
            "ACL SETUSER", name, *rules(site.name, passwords, cluster=cluster, old=True)
        )
    _save()


def revoke(site: str) -> None:
    """Remove a site's Redis user and close its connections. Raises ``StoreUnavailable``."""
    administration.everywhere("ACL DELUSER", user_name(site))
    _save()


def disconnect(site: str) -> None:
    """Close a site's connections, which outlive the password that opened them; the site connects
    again by itself. Raises ``StoreUnavailable``."""
    administration.everywhere("CLIENT KILL USER", user_name(site))


def grant_all() -> int:
    """Set every site's Redis user, for a Redis that has lost them. Returns how many."""
    sites = list(Site.objects.all())
    for site in sites:
        grant(site)
    return len(sites)


def _keys_of(site: Site) -> list[keys.SiteKeys]:
    # From the row at hand: it may not be saved yet.
    ring = keys.keyring()
    return [keys.SiteKeys(ring.site_secret(site.name, generation)) for generation in site.generations]


def _save() -> None:
    try:
        administration.everywhere("ACL SAVE")
    except StoreRefused as error:
        logger.warning(
            "Redis keeps its users in memory only, until it is configured with an aclfile: %s",
            error.__cause__,
        )
