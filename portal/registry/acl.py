"""Sets the Redis users of the sites. ``rights`` checks the result.

The portal runs this with its own, privileged Redis user.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final

from portal.keys import keyring
from sso_common import conf
from sso_common.dsn import redis_user
from sso_common.exceptions import StoreRefused
from sso_common.store import administration

from .models import Site

logger = logging.getLogger("portal.registry")

#: To connect, and for ``sso_doctor`` to read the version, persistence, eviction and its own name.
CONNECTION: Final = (
    "+auth",
    "+hello",
    "+ping",
    "+quit",
    "+select",
    "+client|setname",
    "+info",
    "+acl|whoami",
)
#: Redis 7.0 refuses a rule with this name. Clients work without the command.
SINCE_7_2: Final = ("+client|setinfo",)
#: What a client needs to find the right node of a cluster.
CLUSTER: Final = ("+cluster|slots", "+cluster|shards", "+command", "+asking")
READING: Final = ("+get", "+pttl", "+exists", "+hgetall")
WRITING: Final = ("+hset", "+hsetnx", "+hdel", "+unlink", "+pexpire", "+eval", "+evalsha")


def rules(site: str, passwords: list[str], *, cluster: bool, since_7_2: bool = True) -> list[str]:
    """Return the arguments of ``ACL SETUSER`` for a site.

    A command is allowed if the root permissions, or one selector, allow it for all of its keys. The
    root permissions allow to read identity records. A selector allows to end and extend them, but no
    scripts. A script needs write permission on its keys, so none can change an identity record.
    """
    namespace = conf.dsn().namespace
    hashes = [f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords]
    return [
        "reset",
        "on",
        *hashes,
        f"%R~{namespace}:{{*}}:identity",
        f"~{namespace}:{{*}}:site:{site}",
        f"~{namespace}:anon:{site}:*",
        *CONNECTION,
        *(SINCE_7_2 if since_7_2 else ()),
        *(CLUSTER if cluster else ()),
        *READING,
        *WRITING,
        f"(%W~{namespace}:{{*}}:identity +unlink +pexpire)",
        f"(~{namespace}:events +xadd +xread)",
    ]


def set_site_user(site: Site) -> None:
    """Create a site's Redis user, or replace all of its rules. Raises ``StoreUnavailable``."""
    set_user(redis_user(conf.dsn().namespace, site.name), site)
    save_users()


def set_user(name: str, site: Site, *more: str) -> None:
    """Give a Redis user the rules of a site, and more rules. Raises ``StoreUnavailable``."""
    # The generations of the row at hand, which may not be saved yet.
    site_keys = keyring().site_keys(site.name, site.generations)
    passwords = [keys.redis_password for keys in site_keys]
    cluster = administration.is_cluster()
    try:
        newer = rules(site.name, passwords, cluster=cluster)
        administration.everywhere("ACL SETUSER", name, *newer, *more)
    except StoreRefused:
        older = rules(site.name, passwords, cluster=cluster, since_7_2=False)
        administration.everywhere("ACL SETUSER", name, *older, *more)


def set_all_site_users() -> int:
    """Set the Redis users of all sites, for a Redis that has lost them. Returns how many there are."""
    sites = list(Site.objects.all())
    for site in sites:
        set_site_user(site)
    return len(sites)


def delete_site_user(site: str) -> None:
    """Delete a site's Redis user, which closes its connections. Raises ``StoreUnavailable``."""
    administration.everywhere("ACL DELUSER", redis_user(conf.dsn().namespace, site))
    save_users()


def disconnect(site: str) -> None:
    """Close a site's connections, which outlive the password that opened them. The site reconnects by
    itself. Raises ``StoreUnavailable``."""
    administration.everywhere("CLIENT KILL USER", redis_user(conf.dsn().namespace, site))


def save_users() -> None:
    """Write the users to Redis's ACL file, if it has one."""
    try:
        administration.everywhere("ACL SAVE")
    except StoreRefused as error:
        logger.warning("Redis keeps its users in memory only, because it has no aclfile: %s", error.__cause__)
