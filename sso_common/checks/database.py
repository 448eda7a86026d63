"""Checks of the database that holds the users of this site. They do not connect to it."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import get_user_model
from django.db import connections, router

from sso_common.models import Account

from .keys import is_portal
from .messages import Messages, check, error, warning

#: The engines for sites: ``connection.vendor``, which engines that derive from these have, too, and a name.
SITES: Final = {"postgresql": "PostgreSQL", "mysql": "MySQL, MariaDB", "sqlite": "SQLite"}
PORTAL: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

READ_COMMITTED: Final = "read committed"


@check
def check_database() -> Messages:
    """The users are in one database, of a supported engine."""
    alias = router.db_for_write(Account)
    connection = connections[alias]
    supported = PORTAL if is_portal() else SITES
    if connection.vendor not in supported:
        # MySQL's wrapper would connect to find its name.
        name = SITES.get(connection.vendor) or connection.display_name
        who = "the portal" if is_portal() else "sso_common"
        yield error(
            "E029",
            f"The database {alias!r} uses an engine that {who} does not support: {name}.",
            f"In DATABASES, use an engine for one of these: {', '.join(supported.values())}.",
        )
    if (other := router.db_for_write(get_user_model())) != alias:
        yield error(
            "E030",
            f"The users are in the database {other!r} and the accounts of sso_common in {alias!r}. They are "
            "read and written together.",
            f"In DATABASE_ROUTERS, send the app sso_common to {other!r}.",
        )
    level = connection.settings_dict["OPTIONS"].get("isolation_level", READ_COMMITTED)
    if connection.vendor == "mysql" and str(level).lower() != READ_COMMITTED:
        yield warning(
            "W017",
            f"The isolation level of the database {alias!r} is {level!r}: a transaction does not see users "
            "that another one has written in the meantime, and may overwrite them.",
            "Remove isolation_level from OPTIONS in DATABASES: Django's default is 'read committed'.",
        )
