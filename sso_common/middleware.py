"""The two middlewares that replace Django's: they attach session, user and identity to each request.

``SessionMiddleware`` adds ``request.session`` and sets the site's own cookie. ``AuthenticationMiddleware``
adds ``request.user``, ``request.auser``, ``request.sso`` and ``request.asso``. Neither reads anything until a
view does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth import middleware as django_auth
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions import middleware as django_sessions
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import rotate_token
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from . import backends, conf, cookies, csrf, forwarding, pages, refusals, responses, users
from .addresses import is_emergency_login, login_path, safe_next
from .database import reported_outage
from .exceptions import Absent, DatabaseUnavailable, LocalLoginRefused, StoreUnavailable, Unavailable
from .flows import Flow
from .http import SSORequest, User, attach_identity, session_of, sso_request
from .identity import Identity
from .sessions import SessionStore

logger = logging.getLogger("sso_common.session")


class SessionMiddleware(django_sessions.SessionMiddleware):
    """``request.session``, from the SSO cookie and the site's own host-only cookie."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        super().__init__(get_response)
        conf.dsn()  # a server without a valid DSN refuses to start

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        try:
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        except asyncio.CancelledError:
            if (session := session_of(request)) is not None:
                with contextlib.suppress(Unavailable):
                    await session.arun(session.take_back_flow())
            raise
        session = session_of(request)
        if session is None:
            return response
        return await session.arun(self.response_flow(request, session, response))

    def process_request(self, request: HttpRequest) -> None:
        cookies.drop_disguised(request)
        backends.named_user.set(None)  # nothing of an earlier request in this thread
        token, refusal = cookies.take_token(request)
        csrf.replace_unbound_secret(request, token)
        store_class = cast(type[SessionStore], self.SessionStore)
        session = store_class(cookies.read_session_key(request), token=token, refusal=refusal)
        session.request, session.is_unsafe = request, request.method not in csrf.SAFE_METHODS
        session.check_login, session.login_ended = (
            partial(check_login, request),
            partial(local_login_ended, request),
        )
        request.session = session

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503, not 500, where the store or the database cannot say who is signed in. Explain why a
        local login was refused."""
        if isinstance(exception, LocalLoginRefused):
            login_url = request.build_absolute_uri(login_path(safe_next(request)))
            return responses.sign_in_at_portal(request, login_url)
        if not isinstance(exception, StoreUnavailable | DatabaseUnavailable):
            return None
        session = session_of(request)
        if session is None:
            return unavailable(request, exception)
        session.unavailable = exception  # process_response logs it, once
        return responses.service_unavailable(request)

    def process_response(  # type: ignore[override]  # django-stubs forgets streaming responses
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        session = session_of(request)
        return response if session is None else session.run(self.response_flow(request, session, response))

    def response_flow(
        self, request: HttpRequest, session: SessionStore, response: HttpResponseBase
    ) -> Flow[HttpResponseBase]:
        """Save the session, and return the response: this one, or 503 if the store was unavailable."""
        try:
            if session.unavailable is None:
                yield from self.save_flow(request, session, response)
        except Unavailable as error:  # at the portal also the database
            session.unavailable = error
        # A view or a template may have swallowed the exception and taken the user for anonymous.
        if session.unavailable is not None:
            response = yield partial(unavailable, request, session.unavailable)
            return response
        self.finish_cookies(request, response)
        if session.overridden is not None and not session.has_local_login():
            csrf.forget_secret(response)  # which the local user knows
        csrf.bind_secret(request, response, session.presented)
        yield from finish_flow(session, response)
        return response

    def finish_cookies(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Do nothing. The portal overrides this: it alone sets and deletes the SSO cookie."""

    def save_flow(
        self, request: HttpRequest, session: SessionStore, response: HttpResponseBase
    ) -> Flow[None]:
        """Save the session if it was changed, and bring the site's own cookie up to date."""
        is_set = False
        # As in Django, a 5xx response saves nothing.
        if must_save(session) and response.status_code < 500:
            yield from session.resolve_flow()
            yield from session.open_flow()  # ignores a key or token that opened nothing
            if not session.is_empty():
                yield from save_or_interrupt_flow(session)
                if session.token is None:
                    cookies.set_session_cookie(response, session)
                    is_set = True
        if session.accessed:
            patch_vary_headers(response, ("Cookie",))
            # The page may be about the visitor. The view may say otherwise, and then it is the view's.
            response.headers.setdefault("Cache-Control", "private")
        is_stale = session.is_cookie_stale or session.is_empty()
        if is_stale and not is_set and cookies.read_session_key(request) is not None:
            cookies.delete_session_cookie(response)
            patch_vary_headers(response, ("Cookie",))


class AuthenticationMiddleware(django_auth.AuthenticationMiddleware):
    """``request.user``, ``request.auser()``, ``request.sso`` (the verified ``Identity`` or None) and
    ``request.asso()``."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        super().__init__(get_response)
        if self.async_mode:  # Django would call a sync method in a thread, for each request
            self.process_view = self.aprocess_view  # type: ignore[method-assign, assignment]

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        return self.process_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        attach(sso_request(request))

    def process_view(self, request: SSORequest, *args: Any) -> HttpResponse | None:
        """Answer in place of the pages of other apps that the portal replaces."""
        if not (page := pages.page_of(request)):
            return None
        try:
            user = get_user(request)
        except Unavailable:  # Django calls process_exception only for views
            return responses.service_unavailable(request)
        return forwarding.replace_page(request, page, user)

    async def aprocess_view(self, request: SSORequest, *args: Any) -> HttpResponse | None:
        """``process_view`` for async code."""
        if not (page := pages.page_of(request)):
            return None
        try:
            user = await aget_user(request)
        except Unavailable:
            return responses.service_unavailable(request)
        return forwarding.replace_page(request, page, user)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Answer 401 or 403 in place of some redirects to a login page."""
        return refusals.replace_response(request, response)


def must_save(session: SessionStore) -> bool:
    """Whether the session has changes, as far as is known without a round trip."""
    if session.unavailable is not None:
        return False
    return (session.modified or settings.SESSION_SAVE_EVERY_REQUEST) and not session.is_empty()


def save_or_interrupt_flow(session: SessionStore) -> Flow[None]:
    """Save a session. Raises ``SessionInterrupted``, as Django does, if it has ended in the meantime."""
    try:
        yield from session.save_flow()
    except UpdateError as error:
        raise SessionInterrupted(
            "The request's session was deleted before the request completed. The user may have "
            "logged out in a concurrent request, for example."
        ) from error


def finish_flow(session: SessionStore, response: HttpResponseBase) -> Flow[None]:
    """Do what is due after the response. The response is complete, so a failure is only logged."""
    try:
        if response.status_code >= 500:
            yield from session.take_back_flow()
        yield from session.extend_flow()
    except StoreUnavailable as error:
        logger.warning("Idle timeout not extended: %s", error, extra={"reason": error.reason})


def unavailable(request: HttpRequest, error: Unavailable) -> HttpResponse:
    """Log the failure and answer 503."""
    # What the database said, and where: otherwise Django would have logged it.
    trace = error if isinstance(error, DatabaseUnavailable) else None
    logger.error("%s", error, exc_info=trace, extra={"reason": error.reason})
    return responses.service_unavailable(request)


def attach(request: SSORequest) -> None:
    """Add user and identity to a request. All of it is lazy."""
    request.user = SimpleLazyObject(partial(get_user, request))
    request.auser = partial(aget_user, request)
    attach_identity(request)
    request.asso = partial(aget_identity, request)


def get_user(request: SSORequest) -> User:
    """The user of a request, found once: a local login as in stock Django, else the local user of
    the identity, else ``AnonymousUser``."""
    if not hasattr(request, "_cached_user"):
        request._cached_user = request.session.run(user_flow(request))
    return request._cached_user


async def aget_user(request: SSORequest) -> User:
    """``get_user`` for async code."""
    if not hasattr(request, "_cached_user"):
        request._cached_user = await request.session.arun(user_flow(request))
    return request._cached_user


async def aget_identity(request: SSORequest) -> Identity | None:
    """``request.sso`` for async code."""
    await request.session.aresolve()
    return request.session.identity


def user_flow(request: SSORequest) -> Flow[User]:
    """Find the user of a request. See ``get_user``."""
    session = request.session
    yield from session.open_flow()
    if session.has_local_login():
        with reported_outage():
            user: User = yield partial(auth.get_user, request)
        if user.is_authenticated:
            return user
        if session.overridden is not None and session.refusal is None:
            yield from session.end_local_login_flow()
    user = yield from session.user_flow()
    return AnonymousUser() if user is None else user


def local_login_ended(request: HttpRequest) -> None:
    """Let nothing of the local user stay in a request."""
    rotate_token(request)
    if hasattr(request, "sso"):
        attach_identity(request)


def check_login(request: HttpRequest, user_key: str) -> None:
    """Check a local login when ``login()`` is about to store it. Raises ``LocalLoginRefused``.

    Not when the user is authenticated: other backends may come first, and need not ask for a password.
    """
    try:
        users.require_local_login(user_key, time.time(), is_emergency=is_emergency_login(request))
    except Absent as refusal:
        raise LocalLoginRefused(refusal.detail) from refusal
