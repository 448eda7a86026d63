"""The two middlewares that replace Django's: they attach session, user and identity to each request.

``SessionMiddleware`` adds ``request.session`` and sets the site's own cookie. ``AuthenticationMiddleware``
adds ``request.user``, ``request.auser``, ``request.sso`` and ``request.asso``. Neither reads anything until a
view does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth
from django.contrib.auth import middleware as django_auth
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions import middleware as django_sessions
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from . import backends, conf, cookies, refusals, responses
from .exceptions import StoreUnavailable
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
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        session = session_of(request)
        if session is None or not (must_save(session) or session.due_extension() is not None):
            return self.process_response(request, response)
        return await sync_to_async(self.process_response, thread_sensitive=False)(request, response)

    def process_request(self, request: HttpRequest) -> None:
        cookies.drop_disguised(request)
        backends.named_user.set(None)  # nothing of an earlier request in this thread
        token, refusal = cookies.take_token(request)
        store_class = cast(type[SessionStore], self.SessionStore)
        request.session = store_class(cookies.read_session_key(request), token=token, refusal=refusal)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503, not 500, where the store cannot answer."""
        if not isinstance(exception, StoreUnavailable):
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
        if session is None:
            return response
        try:
            if session.unavailable is None:
                self.save(request, session, response)
        except StoreUnavailable as error:
            session.unavailable = error
        # A view or a template may have swallowed the exception and taken the user for anonymous.
        if session.unavailable is not None:
            return unavailable(request, session.unavailable)
        self.finish_cookies(request, response)
        extend_idle_timeout(session)
        return response

    def finish_cookies(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Do nothing. The portal overrides this: it alone sets and deletes the SSO cookie."""

    def save(self, request: HttpRequest, session: SessionStore, response: HttpResponseBase) -> None:
        """Save the session if it was changed, and bring the site's own cookie up to date."""
        is_set = False
        # As in Django, a 5xx response saves nothing.
        if must_save(session) and response.status_code < 500:
            session.resolve()
            session.load_data()  # ignores a key or token that opened nothing
            if not session.is_empty():
                save_or_interrupt(session)
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

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        return self.process_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        attach(sso_request(request))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Answer 401 or 403 in place of some redirects to the login page."""
        return refusals.replace_login_redirect(request, response)


def must_save(session: SessionStore) -> bool:
    """Whether the session has changes, as far as is known without a round trip."""
    if session.unavailable is not None:
        return False
    return (session.modified or settings.SESSION_SAVE_EVERY_REQUEST) and not session.is_empty()


def save_or_interrupt(session: SessionStore) -> None:
    """Save a session. Raises ``SessionInterrupted``, as Django does, if it has ended in the meantime."""
    try:
        session.save()
    except UpdateError as error:
        raise SessionInterrupted(
            "The request's session was deleted before the request completed. The user may have "
            "logged out in a concurrent request, for example."
        ) from error


def extend_idle_timeout(session: SessionStore) -> None:
    """Extend the idle timeout if that is due. The response is complete, so a failure is only logged."""
    try:
        session.run(session.extend_flow())
    except StoreUnavailable as error:
        logger.warning("Idle timeout not extended: %s", error, extra={"reason": error.reason})


def unavailable(request: HttpRequest, error: StoreUnavailable) -> HttpResponse:
    """Log the failure and answer 503."""
    logger.error("%s", error, extra={"reason": error.reason})
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
        await request.session.aload_data()
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
        user: User = yield partial(auth.get_user, request)
        if user.is_authenticated:
            return user
        if session.overridden is not None:
            yield from session.end_local_login_flow()
    user = yield from session.user_flow()
    return AnonymousUser() if user is None else user
