"""A second database for tests of several concurrent connections.

The tests' own database is one connection in one transaction. ``real_database`` takes the address of a
SQLite file or of a PostgreSQL server, creates and migrates a database there, and sends all queries to it.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import dj_database_url
from django.core.management import call_command
from django.db import connections
from django.db.utils import load_backend
from django.test import override_settings

from tests.timing import WAIT

ALIAS = "real"


class RealRouter:
    """Send the queries of every model to the second database."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return ALIAS

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        return True


_settings: dict[str, Any] = {}


@contextlib.contextmanager
def real_database(address: str) -> Iterator[str]:
    """Send every query to a new database at this address; yield its alias."""
    with _created(address) as settings:
        _settings.update(connections.configure_settings({"default": settings})["default"])
        _connect()
        try:
            with override_settings(DATABASE_ROUTERS=["tests.databases.RealRouter"]):
                call_command("migrate", database=ALIAS, verbosity=0)
                yield ALIAS
        finally:
            _disconnect()
            _settings.clear()


def _connect() -> None:
    """Open this thread's connection. Django's test cases allow it because it is not in the settings."""
    connections[ALIAS] = load_backend(_settings["ENGINE"]).DatabaseWrapper(dict(_settings), ALIAS)


def _disconnect() -> None:
    connections[ALIAS].close()
    del connections[ALIAS]


@contextlib.contextmanager
def _created(address: str) -> Iterator[dict[str, Any]]:
    settings: dict[str, Any] = dict(dj_database_url.parse(address))
    if settings["ENGINE"].endswith("sqlite3"):
        # As in the settings of the portal and of the reference sites.
        settings["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        }
        yield settings
        return
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield {**settings, "NAME": name}
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class Worker(threading.Thread):
    """A thread with its own connection. ``result`` returns the action's result or raises its error."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.action = action
        self.value: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        _connect()
        try:
            self.value = self.action()
        except BaseException as error:  # noqa: BLE001  raised by result()
            self.error = error
        finally:
            _disconnect()

    def result(self, timeout: float = WAIT) -> Any:
        self.join(timeout)
        assert not self.is_alive(), "The thread did not finish."
        if self.error is not None:
            raise self.error
        return self.value
