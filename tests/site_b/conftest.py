"""Fixtures for Shop. Each test has the database and a real, empty Valkey. ``shopper`` is a browser
whose requests go through Django's ASGI handler.

Run these tests separately, because a process has one settings module:
``pytest tests/site_b --ds=tests.site_b.settings``.
"""

import os
from http.cookies import SimpleCookie
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from tests.servers import ValkeyServer

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.site_b.settings":
    collect_ignore_glob = ["test_*.py"]


class Browser:
    """An ``AsyncClient`` for synchronous tests.

    Synchronous code runs on the test's thread, so changes to the database stay in the test's transaction.
    """

    def __init__(self, **options: Any) -> None:
        self._client = AsyncClient(**options)

    @property
    def cookies(self) -> SimpleCookie:
        return self._client.cookies

    def get(self, path: str, **options: Any) -> Any:
        return async_to_sync(self._client.get)(path, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> Any:
        return async_to_sync(self._client.post)(path, data or {}, **options)

    def put(self, path: str, data: Any, **options: Any) -> Any:
        return async_to_sync(self._client.put)(path, data, content_type="application/json", **options)

    def delete(self, path: str, **options: Any) -> Any:
        return async_to_sync(self._client.delete)(path, **options)


@pytest.fixture(autouse=True)
def _real_services(db: None, valkey: ValkeyServer) -> None:
    """The database and Valkey."""


@pytest.fixture
def shopper() -> Browser:
    return Browser()
