"""Fixtures for Notes. Each test has the database and a real, empty Valkey.

Run these tests separately, because a process has one settings module:
``pytest tests/site_a --ds=tests.site_a.settings``.
"""

import os

import pytest

from tests.servers import ValkeyServer

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.site_a.settings":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _real_services(db: None, valkey: ValkeyServer) -> None:
    """The database and Valkey."""
