"""Check of MIDDLEWARE: both SSO middlewares replace Django's, and the order works."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth import middleware as django_auth
from django.contrib.sessions import middleware as django_sessions
from django.core.checks import Error

from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware

from .imports import imported, imported_class
from .messages import Messages, check, error
from .replacements import sets_user

#: (id where ours is missing, ours, Django's)
REPLACED = (
    ("E004", SessionMiddleware, django_sessions.SessionMiddleware),
    ("E005", AuthenticationMiddleware, django_auth.AuthenticationMiddleware),
)
READS_USER = frozenset(
    {
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.contrib.auth.middleware.RemoteUserMiddleware",
        "django_otp.middleware.OTPMiddleware",
    }
)


@check
def check_middleware() -> Messages:
    """MIDDLEWARE has both SSO middlewares, in place of Django's and in a working order."""
    classes = [imported_class(path) for path in settings.MIDDLEWARE]
    for number, ours, theirs in REPLACED:
        if first(classes, ours) is None:
            yield error(
                number,
                f"MIDDLEWARE lacks the {ours.__name__} of sso_common.",
                f'Write "sso_common.middleware.{ours.__name__}" in MIDDLEWARE, {place(classes, theirs)}.',
            )
        else:
            yield from duplicates(classes, ours, theirs)
    session, auth = first(classes, SessionMiddleware), first(classes, AuthenticationMiddleware)
    if session is not None and auth is not None:
        yield from wrong_order(classes, session, auth)


def place(classes: Sequence[type], theirs: type) -> str:
    """Say where ours belongs: in place of Django's, or above that of a product, which then asks ours."""
    if theirs is django_auth.AuthenticationMiddleware and first(classes, theirs) is None:
        for path in settings.MIDDLEWARE:
            if sets_user(imported(path)):
                return f'above "{path}"'
    return f'in place of "{theirs.__module__}.{theirs.__name__}"'


def first(classes: Sequence[type], wanted: type) -> int | None:
    """Return the index of the first subclass of ``wanted``."""
    return next((index for index, each in enumerate(classes) if issubclass(each, wanted)), None)


def duplicates(classes: Sequence[type], ours: type, theirs: type) -> Messages:
    """Report Django's middleware where ours is there too."""
    for path, class_ in zip(settings.MIDDLEWARE, classes, strict=True):
        if issubclass(class_, theirs) and not issubclass(class_, ours):
            yield error(
                "E006",
                f"MIDDLEWARE has Django's {theirs.__name__} as well as that of sso_common, and they undo "
                "each other's work.",
                f'Remove "{path}" from MIDDLEWARE.',
            )


def wrong_order(classes: Sequence[type], session: int, auth: int) -> Messages:
    """Compare each middleware's place with the place of the one that it needs."""
    needs_session = reads_session()
    if auth < session:
        yield out_of_order(auth, session)
    for index, class_ in enumerate(classes):
        # By name, because not all of them can be imported at every site.
        names = {f"{each.__module__}.{each.__name__}" for each in class_.__mro__}
        if index < session and names & needs_session:
            yield out_of_order(index, session)
        if index < auth and names & READS_USER:
            yield out_of_order(index, auth)
        if index > session and "django.middleware.cache.UpdateCacheMiddleware" in names:
            yield error(
                "E024",
                "In MIDDLEWARE, UpdateCacheMiddleware comes after SessionMiddleware: it stores a user's page "
                "before the page is marked as private, and serves it to others.",
                f'Move "{settings.MIDDLEWARE[index]}" up, above "{settings.MIDDLEWARE[session]}".',
            )


def reads_session() -> set[str]:
    """Name the middlewares of Django that read the session under the present settings."""
    names = set()
    if "cookie" not in settings.MESSAGE_STORAGE:
        names.add("django.contrib.messages.middleware.MessageMiddleware")
    if settings.CSRF_USE_SESSIONS:
        names.add("django.middleware.csrf.CsrfViewMiddleware")
    return names


def out_of_order(index: int, needed: int) -> Error:
    """Report a middleware that comes before the one that it needs."""
    early, late = settings.MIDDLEWARE[index], settings.MIDDLEWARE[needed]
    return error(
        "E007",
        f"In MIDDLEWARE, {early} comes before {late}, which it needs.",
        f'Move "{late}" up, above "{early}".',
    )
