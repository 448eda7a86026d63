"""Check of the SSO_ settings: known names, right types, importable paths."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from django.conf import settings

from sso_common import conf

from .imports import imported
from .messages import Messages, check, error, warning


@check
def check_settings() -> Messages:
    """Every SSO_ setting has a valid value and a known name."""
    for name, (default, kinds) in conf.SETTINGS.items():
        value = getattr(settings, name, default)
        if problem := problem_of(value, kinds):
            types = " or ".join(kind.__name__ for kind in kinds)
            yield error(
                "E012",
                f"{name} {problem}.",
                f"Write in the settings: {name} = {default!r} (the default), or another {types}.",
            )
        elif kinds == (str,) and not callable(imported(value)):
            yield error(
                "E013",
                f"{name} is {value!r}, which cannot be imported or called.",
                f'Write the dotted path of a class or function, or the default: {name} = "{default}"',
            )
    yield from misspelt_names()


def problem_of(value: object, kinds: tuple[type, ...]) -> str:
    """Say what is wrong with the value of a setting, or return an empty string."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return f"has the wrong type, {type(value).__name__}"
    if isinstance(value, int) and not isinstance(value, bool) and value < 1:
        return f"is {value}, but must be at least 1"
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, Iterable) and not all(isinstance(each, str) for each in value):
        return "must contain only strings"
    return ""


def are_pages_valid() -> bool:
    """Whether the settings that name pages have the right types; if not, E012 says so."""
    entries = ((name, *conf.SETTINGS[name]) for name in ("SSO_LOGIN_PAGES", "SSO_ACCOUNT_PAGES"))
    return not any(problem_of(getattr(settings, name, default), kinds) for name, default, kinds in entries)


def misspelt_names() -> Messages:
    """Report names that look like a misspelt setting; other names may belong to the site itself."""
    known = [*conf.SETTINGS, conf.DSN_VARIABLE, conf.INTERNAL_URL_VARIABLE]
    for name in sorted(set(dir(settings)) - set(known)):
        if name.startswith("SSO_") and (close := difflib.get_close_matches(name, known, 1, 0.85)):
            yield warning(
                "W005",
                f"{name} has no effect: sso_common has no such setting.",
                f"Write {close[0]} in place of {name}.",
            )
