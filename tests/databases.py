"""A second database for tests of several concurrent connections.

The tests' own database is one connection in one transaction. ``real_database`` takes the address of a
SQLite file, or of a PostgreSQL or MariaDB server, creates and migrates a database there, and sends all
queries to it.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dj_database_url
from django.core.management import call_command
from django.db import connections, transaction
from django.db.utils import load_backend
from django.test import override_settings

from sso_common.users.local import account_query
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
#: {engine: (statement, parameters, whether these are many) of the migrations}
_statements: dict[str, list[tuple[str, Any, bool]]] = {}


@contextlib.contextmanager
def real_database(address: str) -> Iterator[str]:
    """Send every query to a new database at this address; yield its alias."""
    with created_database(address) as settings:
        _settings.update(connections.configure_settings({"default": settings})["default"])
        _connect()
        account_query.cache_clear()  # compiled for the database that had the alias before
        try:
            with override_settings(DATABASE_ROUTERS=["tests.databases.RealRouter"]):
                _migrate(settings["ENGINE"])
                yield ALIAS
        finally:
            _disconnect()
            _settings.clear()


def _migrate(engine: str) -> None:
    """Create the tables. Only the first time for an engine, Django finds out how."""
    statements = _statements.setdefault(engine, [])
    if not statements:
        with connections[ALIAS].execute_wrapper(partial(_record, statements)):
            call_command("migrate", database=ALIAS, verbosity=0)
        return
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        for sql, parameters, many in statements:
            (cursor.executemany if many else cursor.execute)(sql, parameters)


def _record(
    statements: list[tuple[str, Any, bool]],
    execute: Callable[..., Any],
    sql: str,
    parameters: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    if sql.split(maxsplit=1)[0].upper() not in {"SELECT", "SHOW", "BEGIN", "SAVEPOINT", "RELEASE", "PRAGMA"}:
        statements.append((sql, parameters, many))
    return execute(sql, parameters, many, context)


def _connect() -> None:
    """Open this thread's connection. Django's test cases allow it because it is not in the settings."""
    connections[ALIAS] = load_backend(_settings["ENGINE"]).DatabaseWrapper(dict(_settings), ALIAS)


def _disconnect() -> None:
    connections[ALIAS].close()
    del connections[ALIAS]


@contextlib.contextmanager
def created_database(address: str) -> Iterator[dict[str, Any]]:
    """Create an empty database on the server at this address; yield its settings."""
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
    create = _create_in_mariadb if settings["ENGINE"].endswith("mysql") else _create_in_postgres
    with create(settings, f"test_{uuid.uuid4().hex}") as name:
        yield {**settings, "NAME": name}


@contextlib.contextmanager
def _create_in_postgres(server: dict[str, Any], name: str) -> Iterator[str]:
    import psycopg

    where = {"host": server["HOST"], "port": server["PORT"], "dbname": server["NAME"]}
    where |= {"user": server["USER"], "password": server["PASSWORD"]}
    with psycopg.connect(**where, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield name
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def _create_in_mariadb(server: dict[str, Any], name: str) -> Iterator[str]:
    import pymysql

    where = {"host": server["HOST"], "port": server["PORT"]}
    where |= {"user": server["USER"], "password": server["PASSWORD"]}
    with pymysql.connect(**where) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            cursor.execute(f"DROP DATABASE {name}")


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
