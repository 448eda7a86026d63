"""What the errors of a database mean, and how to try again, on every engine that is supported."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import DataError, Error, InterfaceError, OperationalError, connections, transaction

T = TypeVar("T")

#: How often a transaction is tried in which the database prefers another one.
ATTEMPTS: Final = 4

#: SQLSTATE of PostgreSQL and numbers of MySQL: deadlock; serialization failure; the row has changed since
#: it was read (MariaDB 11.6, "snapshot isolation").
CONFLICTS: Final = frozenset({"40P01", "40001", 1213, 1020})
#: A value that the column's character set does not have. MySQL reports it as an operational error.
UNSTORABLE: Final = 1366
#: OperationalError for a mistake: an unknown column or table.
MISTAKES: Final = frozenset({1054, sqlite3.SQLITE_ERROR})


def atomically(using: str, action: Callable[[], T]) -> T:
    """Carry out an action in a transaction or, within another one, in a savepoint; again after a conflict.

    In MariaDB, a deadlock ends the outer transaction, too. Then only its owner can try again, and this
    raises ``OperationalError``.
    """
    attempts = ATTEMPTS
    while True:
        attempts -= 1
        try:
            with transaction.atomic(using=using):
                return action()
        except OperationalError as error:
            if not attempts or connections[using].needs_rollback or not is_conflict(error):
                raise


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


def code(error: Error) -> Any:
    """Return the engine's own code of an error, or None: a SQLSTATE, or the number of MySQL or SQLite."""
    cause = error.__cause__
    for name in ("sqlstate", "pgcode", "sqlite_errorcode"):
        if hasattr(cause, name):
            return getattr(cause, name)
    return error.args[0] if error.args else None
