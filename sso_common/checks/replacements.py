"""Check of the middlewares that other packages bring: which of them set ``request.user``, and from what."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from sso_common.middleware import AuthenticationMiddleware

from .imports import imported
from .messages import Messages, check, warning

SETS_USER: Final = re.compile(r"\brequest\.user\s*=(?!=)")
#: Asks someone who is signed in, or reads ``request.user`` first.
ASKS: Final = re.compile(r"get_user\b|\bauser\b|authenticate\(|\blogin\(|\brequest\.user\b(?!\s*=(?!=))")
#: Their source says nothing new.
KNOWN: Final = ("django.", "sso_common.", "builtins")


@check
def check_replacements() -> Messages:
    """No other middleware hides the users of the portal."""
    found = [imported(path) for path in settings.MIDDLEWARE]
    ours = next((i for i, each in enumerate(found) if is_ours(each)), None)
    for index, each in enumerate(found):
        path = settings.MIDDLEWARE[index]
        if ours is None or not sets_user(each):
            continue
        if index < ours:
            yield warning(
                "W021",
                f"In MIDDLEWARE, {path} sets request.user, but {settings.MIDDLEWARE[ours]} comes after it "
                "and sets it again.",
                f'Move "{settings.MIDDLEWARE[ours]}" up, above "{path}".',
            )
        elif index > ours and not asks(each):
            yield warning(
                "W022",
                f"The middleware {path} sets request.user without asking who is signed in: users of the "
                "portal may be treated as visitors.",
                "Let it take the user from django.contrib.auth.get_user(request), which knows users of the "
                "portal. To see what it does, run: manage.py sso_doctor",
            )


def is_ours(middleware: object) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, AuthenticationMiddleware)


def sets_user(middleware: object) -> bool:
    """Whether the source of a middleware, a class or a function, assigns ``request.user``."""
    return any(SETS_USER.search(source_of(part)) for part in parts(middleware))


def asks(middleware: object) -> bool:
    """Whether a middleware, or a function of its module that it calls, asks who is signed in."""
    source = "".join(map(source_of, parts(middleware)))
    module = inspect.getmodule(middleware)
    called = [getattr(module, name, None) for name in re.findall(r"\b(\w+)\(", source)]
    return any(ASKS.search(text) for text in [source, *map(source_of, filter(inspect.isfunction, called))])


def parts(middleware: object) -> Iterator[Any]:
    """The class with its bases, or the function, except for those of Django and of this package."""
    for each in getattr(middleware, "__mro__", (middleware,)):
        if not str(getattr(each, "__module__", "builtins")).startswith(KNOWN):
            yield each


def source_of(part: Any) -> str:
    """The source of a class or a function, or nothing."""
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):
        return ""
