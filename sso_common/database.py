"""What the errors of a database mean, and how to try again, on every engine that is supported."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from django.db import DataError, Error, InterfaceError, OperationalError, connections, transaction

from .exceptions import DatabaseUnavailable

T = TypeVar("T")

#: How often a transaction is tried in which the database prefers another one.
ATTEMPTS: Final = 4

#: SQLSTATE of PostgreSQL and numbers of MySQL: deadlock; serialization failure; the row has changed since
#: it was read (MariaDB 11.6, "snapshot isolation").
CONFLICTS: Final = frozenset({"40P01", "40001", 1213, 1020})
#: A statement has waited for a lock for as long as it may.
LOCKED: Final = frozenset({"55P03", 1205})
#: A value that the column's character set does not have. MySQL reports it as an operational error.
UNSTORABLE: Final = 1366
#: OperationalError for a mistake: an unknown column or table.
MISTAKES: Final = frozenset({1054, sqlite3.SQLITE_ERROR})


def atomically(using: str, action: Callable[[], T], *, patience: int | None = None) -> T:
    """Carry out an action in a transaction or, within another one, in a savepoint; again after a conflict.

    In MariaDB, a deadlock ends the outer transaction, too. Then only its owner can try again, and this
    raises ``OperationalError``. ``patience``: how many seconds a statement waits for a lock at most
    (SQLite has its own setting); then ``is_locked`` is true of the error.
    """
    if patience is not None and connections[using].vendor == "mysql":
        with lock_wait_timeout(using, patience):
            return atomically(using, action)
    attempts = ATTEMPTS
    while True:
        attempts -= 1
        try:
            with transaction.atomic(using=using):
                if patience is not None and connections[using].vendor == "postgresql":
                    execute(using, "SET LOCAL lock_timeout = %s", f"{patience}s")
                return action()
        except OperationalError as error:
            if not attempts or connections[using].needs_rollback or not is_conflict(error):
                raise


@contextlib.contextmanager
def lock_wait_timeout(using: str, seconds: int) -> Iterator[None]:
    """Change how long statements of this connection to MySQL wait for a lock. It knows no other scope."""
    before = execute(using, "SELECT @@SESSION.innodb_lock_wait_timeout")
    execute(using, "SET SESSION innodb_lock_wait_timeout = %s", seconds)
    try:
        yield
    finally:
        with contextlib.suppress(Error):  # the connection is lost, and the setting with it
            execute(using, "SET SESSION innodb_lock_wait_timeout = %s", before)


def execute(using: str, sql: str, *parameters: Any) -> Any:
    """Execute a statement; return the first value of its answer, if it has one."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0] if cursor.description else None


def is_locked(error: Error) -> bool:
    """Whether a statement has waited for a lock for as long as it may."""
    return code(error) in LOCKED


def is_conflict(error: Error) -> bool:
    """Whether the database has ended a transaction in favour of another one."""
    return code(error) in CONFLICTS


def is_unstorable(error: Error) -> bool:
    """Whether a value is what the database refuses."""
    return isinstance(error, DataError) or code(error) == UNSTORABLE


def is_unavailable(error: Error) -> bool:
    """Whether the database could not answer, as opposed to: has refused the query or a value."""
    if isinstance(error, InterfaceError):
        return True
    return isinstance(error, OperationalError) and code(error) not in {*MISTAKES, UNSTORABLE}


@contextlib.contextmanager
def reported_outage() -> Iterator[None]:
    """Raise ``DatabaseUnavailable`` where the database cannot say who is signed in."""
    try:
        yield
    except Error as error:
        if not is_unavailable(error):
            raise
        raise DatabaseUnavailable(type(error).__name__) from error


def code(error: Error) -> Any:
    """Return the engine's own code of an error, or None: a SQLSTATE, or the number of MySQL or SQLite."""
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    names = ("sqlstate", "pgcode", "sqlite_errorcode")  # psycopg, psycopg2, sqlite3
    return next((getattr(error.__cause__, name) for name in names if hasattr(error.__cause__, name)), None)
