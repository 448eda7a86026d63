"""A finding: one line of the doctor's report."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from sso_common import conf
from sso_common.exceptions import StoreUnavailable


class Level(enum.StrEnum):
    """How serious a finding is, in ascending order."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"

    @property
    def status(self) -> int:
        """The exit status of ``sso_doctor`` for this level: 0, 1 or 2."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was examined (a stable name for scripts), the result, and how to fix it."""

    check: str
    level: Level
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, fix: str) -> Finding:
    """It works, but something is wrong."""
    return Finding(check, Level.WARNING, message, fix)


def failure(check: str, message: str, fix: str) -> Finding:
    """It does not work, or it is not safe."""
    return Finding(check, Level.FAILURE, message, fix)


def skipped(check: str, reason: str) -> Finding:
    """It could not be examined, because of an earlier finding or for lack of time."""
    return warning(check, f"Not examined: {reason}.", "Fix the problems above first.")


def unexpected(check: str, error: Exception) -> Finding:
    """The examination itself failed."""
    # Name the class only: a message may quote an address with a password.
    name = error.detail if isinstance(error, StoreUnavailable) else type(error).__name__
    return failure(
        check, f"This could not be examined ({name}).", "Run this again. If the error stays, report it."
    )


def worst(findings: Iterable[Finding]) -> Level:
    """Return the most serious level among findings."""
    return max((finding.level for finding in findings), key=lambda level: level.status, default=Level.OK)


def renew_dsn() -> str:
    """Return the fix for a DSN that does not match the portal."""
    return f"Set SSO_DSN to the line that the portal prints: manage.py sso_site dsn {conf.dsn().site}"
