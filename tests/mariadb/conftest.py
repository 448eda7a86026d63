"""Everything about users at a site, over MariaDB: the same tests as over SQLite."""

from __future__ import annotations

import dj_database_url
import pytest
from django.db import connections


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, mariadb_url: str) -> None:
    server = dj_database_url.parse(mariadb_url)
    connections["default"].settings_dict |= {"PORT": server["PORT"], "PASSWORD": server["PASSWORD"]}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that have a database of their own: the room of sso_common runs them."""
    own = {"real", "follower"}
    repeated = [item for item in items if own & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=repeated)
    items[:] = [item for item in items if item not in repeated]
    for item in items:
        item.add_marker(pytest.mark.mariadb)
