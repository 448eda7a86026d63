"""What the errors of a database mean, with the codes of each engine and driver."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, Error, InterfaceError, OperationalError, ProgrammingError

from sso_common import database


def error(kind: type[Error] = OperationalError, *arguments: Any, **attributes: Any) -> Error:
    """An error as Django raises it: it has the arguments of the driver's, and that one as its cause."""
    cause = Exception(*arguments)
    vars(cause).update(attributes)
    wrapped = kind(*arguments)
    wrapped.__cause__ = cause
    return wrapped


def meanings(each: Error) -> set[str]:
    names = ("is_conflict", "is_locked", "is_unstorable", "is_unavailable")
    return {name for name in names if getattr(database, name)(each)}


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (error(OperationalError, "deadlock detected", sqlstate="40P01"), {"is_conflict"}),
        (error(OperationalError, "deadlock detected", pgcode="40P01"), {"is_conflict"}),
        (error(OperationalError, "could not serialize", sqlstate="40001"), {"is_conflict"}),
        (error(OperationalError, 1213, "Deadlock found"), {"is_conflict"}),
        (error(OperationalError, 1213, "Deadlock found", sqlstate="40001"), {"is_conflict"}),
        (error(OperationalError, "lock timeout", sqlstate="55P03"), {"is_locked"}),
        (error(OperationalError, 1205, "Lock wait timeout", sqlstate="HY000"), {"is_locked"}),
        (error(OperationalError, 1366, "Incorrect string value"), {"is_unstorable"}),
        (error(DataError, "value too long", sqlstate="22001"), {"is_unstorable"}),
        (error(OperationalError, "connection refused", sqlstate=None), set()),
        (error(OperationalError, 2013, "Lost connection"), set()),
        (error(InterfaceError, "connection already closed"), set()),
        (error(OperationalError, "unable to open database file", sqlite_errorcode=14), set()),
    ],
)
def test_error_of_a_database_that_does_not_answer(each: Error, expected: set[str]) -> None:
    unavailable = set() if "is_unstorable" in expected else {"is_unavailable"}

    assert meanings(each) == expected | unavailable


@pytest.mark.parametrize(
    "each",
    [
        error(OperationalError, "no such table: x", sqlite_errorcode=1),
        error(OperationalError, 1054, "Unknown column"),
        error(ProgrammingError, 1146, "Table does not exist"),
        error(ProgrammingError, "relation does not exist", sqlstate="42P01"),
    ],
)
def test_mistake_is_no_outage(each: Error) -> None:
    assert meanings(each) == set()
