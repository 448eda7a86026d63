"""Fixtures for the portal's tests. Every test has the database and an empty, real Valkey.

Run by itself, because a process has one settings module: ``pytest tests/portal --ds=tests.portal.settings``.
"""

from __future__ import annotations

import os

import pytest

from tests.servers import ValkeyServer

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.portal.settings":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _real_services(db: None, valkey: ValkeyServer) -> None:
    """The database and Valkey."""
