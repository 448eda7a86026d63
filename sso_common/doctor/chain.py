"""Probe of the middlewares: what a signed-in user's request looks like in a view."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError
from django.shortcuts import resolve_url

from sso_common import conf
from sso_common.domains import may_be_under
from sso_common.sessions import SessionStore

from .findings import Finding, failure, ok, skipped, warning
from .simulation import SimulatedSession, Simulation, concrete_host, simulate

REACHED: Final = "middleware.reached"
SESSION: Final = "middleware.session"
USER: Final = "middleware.user"
RESPONSE: Final = "middleware.response"

BUILD_ON: Final = (
    "Let it take the user from django.contrib.auth.get_user(request), which knows users of the portal; "
    "or remove it from MIDDLEWARE."
)


def middlewares(hosts: Sequence[str]) -> Iterator[Finding]:
    """Send a simulated request of a signed-in user through MIDDLEWARE, and examine what a view gets.

    ``hosts`` are the host names that browsers use for this site, by default those of ``ALLOWED_HOSTS``.
    """
    patterns = hosts or [each for each in settings.ALLOWED_HOSTS if may_be_under(each, conf.dsn().domain)]
    try:
        simulation = simulate(concrete_host(patterns))
    except DatabaseError:
        yield skipped(REACHED, "the database does not answer")
        return
    if simulation.error is not None:
        yield raised(simulation.error)
    elif not simulation.is_seen:
        yield answered(simulation)
    else:
        yield ok(REACHED, "A simulated request of a signed-in user passes all middlewares.")
        yield session(simulation)
        yield user(simulation)
        yield response(simulation)


def raised(error: BaseException) -> Finding:
    """Report an exception, with the middleware that it came from, or else the function that raised it."""
    frames = [frame for frame, _line in traceback.walk_tb(error.__traceback__)]
    modules = {path.rpartition(".")[0] for path in settings.MIDDLEWARE if not path.startswith("django.")}
    own = [frame for frame in frames if frame.f_globals.get("__name__") in modules]
    frame = (own or frames)[-1]
    place = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
    # The class only: a message may quote what it should not.
    message = f"A simulated request of a signed-in user raises {type(error).__name__} in {place}."
    return failure(REACHED, message, "Find out why. It may fail for users of the portal only.")


def answered(simulation: Simulation) -> Finding:
    """Report a request that a middleware has answered in place of the view."""
    location = simulation.response.headers.get("Location", "")
    if urlsplit(location).path == urlsplit(resolve_url(settings.LOGIN_URL)).path:
        return failure(
            REACHED,
            f"A middleware redirects a signed-in user to the login page{named(simulation, 'user')}.",
            "A middleware that requires a login must come after the one that knows the user.",
        )
    where = f" and redirects to {location}" if location else ""
    return warning(
        REACHED,
        f"A middleware answers a request for / with "
        f"{simulation.response.status_code}{where}, so the ones after it were not examined.",
        "If it depends on the host name, give the one that browsers use: manage.py sso_doctor --host=<host>",
    )


def session(simulation: Simulation) -> Finding:
    found = simulation.session
    if not isinstance(found, SessionStore):
        return failure(
            SESSION,
            f"In a view, request.session is not that of sso_common{named(simulation, 'session')}.",
            "Remove the other session middleware from MIDDLEWARE.",
        )
    if not isinstance(found, SimulatedSession):
        return failure(
            SESSION,
            "The SSO cookie of a request does not reach the session: a middleware removes or changes cookies"
            f"{named(simulation, 'session')}.",
            'Move "sso_common.middleware.SessionMiddleware" up, above the middleware that does it.',
        )
    return ok(SESSION, "The SSO cookie reaches the session.")


def user(simulation: Simulation) -> Finding:
    """Examine whether ``request.user`` and ``request.auser()`` are the user who is signed in."""
    for name, found in (("user", simulation.seen_user), ("auser()", simulation.seen_auser)):
        if found is None:
            return failure(
                USER,
                f"In a view, there is no request.{name}.",
                'Write "sso_common.middleware.AuthenticationMiddleware" in MIDDLEWARE.',
            )
        if not found.is_authenticated or found.pk != simulation.user.pk:
            who = "another user" if found.is_authenticated else "not signed in"
            message = f"A signed-in user is {who} in request.{name}{named(simulation, 'user')}."
            return failure(USER, message, BUILD_ON)
    return ok(USER, "A signed-in user is the user of the request.")


def response(simulation: Simulation) -> Finding:
    """Examine whether the response leaves the SSO cookie alone, and is not cached for other users."""
    headers = simulation.response.headers
    if conf.dsn().cookie_name in simulation.response.cookies:
        return failure(
            RESPONSE,
            "A middleware sets or deletes the SSO cookie, which only the portal may do.",
            "Find out which one changes the cookies of responses, and remove it from MIDDLEWARE.",
        )
    is_private = "private" in headers.get("Cache-Control", "")
    if not is_private and "cookie" not in headers.get("Vary", "").lower():
        return warning(
            RESPONSE,
            "A page that reads the user is sent without Vary: Cookie, so a cache may show it to others.",
            "Find out which middleware removes Vary and Cache-Control, and remove it from MIDDLEWARE.",
        )
    return ok(RESPONSE, "The response leaves the SSO cookie alone, and depends on the visitor's cookies.")


def named(simulation: Simulation, attribute: str) -> str:
    """Name who was the last to set an attribute of the request."""
    setters = simulation.set_by.get(attribute)
    return f" (request.{attribute} was last set by {setters[-1]})" if setters else ""
