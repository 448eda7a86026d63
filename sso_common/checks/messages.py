"""How a check reports: a generator of messages, each with the line to write as its hint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from django.core import checks

Messages: TypeAlias = Iterator[checks.CheckMessage]
Check: TypeAlias = Callable[..., list[checks.CheckMessage]]


def check(find: Callable[[], Messages]) -> Check:
    """Make a check of a generator: it takes the arguments that Django passes and returns a list.

    ``sso_doctor`` shows the first line of the docstring where the check finds nothing.
    """

    def run(**kwargs: object) -> list[checks.CheckMessage]:
        return list(find())

    run.__doc__ = find.__doc__
    return run


def error(number: str, message: str, hint: str) -> checks.Error:
    """Users cannot sign in, or one site can reach into another."""
    return checks.Error(message, hint=hint, id=f"sso.{number}")


def warning(number: str, message: str, hint: str) -> checks.Warning:
    """The site works, but slower or less safely than it should."""
    return checks.Warning(message, hint=hint, id=f"sso.{number}")
