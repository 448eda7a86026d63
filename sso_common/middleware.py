"""Attaches session, user and identity to each request; the place of Django's two middlewares.

In: a request's cookies. Out: ``request.session``, ``request.user``, ``request.auser``,
``request.sso``; and the response's cookies. Thin: what it decides is in ``sessions`` and
``backends``. Reads nothing until a view does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

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
from django.shortcuts import resolve_url
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.http import http_date

from . import backends, conf, responses, store
from .exceptions import ConflictingTokens, MalformedToken, NotAdmitted, SSOError, StoreUnavailable
from .identity import Identity
from .sessions import SessionStore
from .tokens import SessionToken, parse_token

logger = logging.getLogger("sso_common.session")


class SessionMiddleware(django_sessions.SessionMiddleware):
    """``request.session``, from the SSO cookie and the site's own host-only cookie."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        super().__init__(get_response)
        conf.dsn()  # a server with no valid DSN refuses to start

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        session = _session(request)
        if session is None or not _must_save(session):
            return self.process_response(request, response)
        return await sync_to_async(self.process_response, thread_sensitive=False)(request, response)

    def process_request(self, request: HttpRequest) -> None:
        token, refusal = read_token(request)
        request.session = cast(type[SessionStore], self.SessionStore)(
            request.COOKIES.get(settings.SESSION_COOKIE_NAME), token=token, refusal=refusal
        )

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A store that cannot answer is a 503, not a 500."""
        if not isinstance(exception, StoreUnavailable):
            return None
        session = _session(request)
        if session is None:
            return self._unavailable(request, exception)
        session.unavailable = exception  # process_response says so in the log, once, and answers
        return responses.service_unavailable(request)

    def process_response(  # type: ignore[override]  # django-stubs forgets streaming responses
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        session = _session(request)
        if session is None:
            return response
        # Whatever a view, a template tag or another middleware made of the failure: nobody is
        # shown a page that took "cannot answer" for "not signed in".
        if session.unavailable is not None:
            return self._unavailable(request, session.unavailable)
        try:
            self._finish_session(request, session, response)
        except StoreUnavailable as error:
            return self._unavailable(request, error)
        self.finish_cookies(request, response)
        self._extend_idle_timeout(session, response)
        return response

    def finish_cookies(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """A hook for the portal, which alone sets and deletes the SSO cookie. Here: nothing."""

    def _finish_session(
        self, request: HttpRequest, session: SessionStore, response: HttpResponseBase
    ) -> None:
        # As in Django, a 5xx response saves nothing.
        if _must_save(session) and response.status_code < 500:
            session.settle()
            if not session.is_empty():
                self._save(session, response)
        if session.accessed:
            patch_vary_headers(response, ("Cookie",))
        if settings.SESSION_COOKIE_NAME in request.COOKIES and _is_cookie_stale(session):
            response.delete_cookie(
                settings.SESSION_COOKIE_NAME,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
            # A browser refuses even the deletion of a __Host- cookie that is not Secure.
            response.cookies[settings.SESSION_COOKIE_NAME]["secure"] = _is_cookie_secure()
            patch_vary_headers(response, ("Cookie",))

    def _save(self, session: SessionStore, response: HttpResponseBase) -> None:
        try:
            session.save()
        except UpdateError as error:
            raise SessionInterrupted(
                "The request's session was deleted before the request completed. The user may have "
                "logged out in a concurrent request, for example."
            ) from error
        if session.token is None:
            _set_session_cookie(session, response)

    def _extend_idle_timeout(self, session: SessionStore, response: HttpResponseBase) -> None:
        milliseconds = session.idle_extension()
        first_seen = session.is_first_seen()
        identity = session.known_identity
        if identity is None or (milliseconds is None and not first_seen):
            return
        _after(response, partial(_keep_alive, identity, milliseconds, first_seen))

    def _unavailable(self, request: HttpRequest, error: StoreUnavailable) -> HttpResponse:
        logger.error("%s", error, extra={"reason": error.reason})
        return responses.service_unavailable(request)


class AuthenticationMiddleware(django_auth.AuthenticationMiddleware):
    """``request.user`` and ``request.auser()`` from the identity, and ``request.sso``: the
    verified ``Identity`` or None (lazy: test it by its truth)."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        return self.process_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = cast(Any, SimpleLazyObject(lambda: get_user(request)))
        request.auser = partial(aget_user, request)
        request.sso = SimpleLazyObject(lambda: request.session.identity)  # type: ignore[attr-defined]
        request.asso = partial(aget_identity, request)  # type: ignore[attr-defined]

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """In place of a redirect to the login hop: 403 for who is signed in and not admitted, or
        would be sent straight back to this page, for ever; 401 for scripts, which could not follow."""
        if not _is_login_redirect(request, response):
            return response
        if is_signed_in(request) and (_is_not_admitted(request) or _leads_back(request, response)):
            return responses.forbidden(request)
        if responses.wants_json(request):
            return responses.unauthorized(request.build_absolute_uri(resolve_url(settings.LOGIN_URL)))
        return response


def read_token(request: HttpRequest) -> tuple[SessionToken | None, SSOError | None]:
    """Take the session token out of a request's cookies; or say why there is none.

    It is taken out of ``request.COOKIES`` so that no view, error page or error mail ever shows
    it (Django's own filter hides the raw header). Two different SSO cookies mean that a sibling host
    sets one of its own; which of the two is genuine cannot be told, so neither is trusted.
    """
    name = conf.cookie_name()
    value = request.COOKIES.pop(name, None)
    if value is None:
        return None, None
    values = {
        sent.strip()
        for key, _, sent in (part.partition("=") for part in request.META.get("HTTP_COOKIE", "").split(";"))
        if key.strip() == name
    }
    if len(values) > 1:
        return None, ConflictingTokens()
    try:
        return parse_token(value), None
    except MalformedToken as refusal:
        return None, refusal


def get_user(request: HttpRequest) -> Any:
    """The user of a request, found once: a local login as in stock Django, else the subject's
    local user, else ``AnonymousUser``."""
    if not hasattr(request, "_cached_user"):
        request._cached_user = _find_user(request)  # type: ignore[attr-defined]
    return request._cached_user  # type: ignore[attr-defined]


async def aget_user(request: HttpRequest) -> Any:
    """``get_user`` for async code."""
    if not hasattr(request, "_cached_user"):
        request._cached_user = await _afind_user(request)  # type: ignore[attr-defined]
    return request._cached_user  # type: ignore[attr-defined]


async def aget_identity(request: HttpRequest) -> Identity | None:
    """``request.sso`` for async code."""
    session = cast(SessionStore, request.session)
    await session.aresolve()
    return session.identity


def _find_user(request: HttpRequest) -> Any:
    session = cast(SessionStore, request.session)
    if auth.SESSION_KEY in session:
        user = auth.get_user(request)
        if user.is_authenticated:
            return user
    identity = session.identity
    if identity is None:
        return AnonymousUser()
    path, backend = backends.sso_backend()
    try:
        user = backend.user_for(identity)
    except SSOError as refusal:
        return _refused(session, refusal)
    user.backend = path
    return user


async def _afind_user(request: HttpRequest) -> Any:
    session = cast(SessionStore, request.session)
    if await session.ahas_key(auth.SESSION_KEY):
        user = await auth.aget_user(request)
        if user.is_authenticated:
            return user
    identity = await aget_identity(request)
    if identity is None:
        return AnonymousUser()
    path, backend = backends.sso_backend()
    try:
        user = await backend.auser_for(identity)
    except SSOError as refusal:
        return _refused(session, refusal)
    user.backend = path
    return user


def _refused(session: SessionStore, refusal: SSOError) -> AnonymousUser:
    session.refuse(refusal)
    return AnonymousUser()


def _session(request: HttpRequest) -> SessionStore | None:
    session = getattr(request, "session", None)
    return session if isinstance(session, SessionStore) else None


def _must_save(session: SessionStore) -> bool:
    if session.unavailable is not None:
        return False
    return (session.modified or settings.SESSION_SAVE_EVERY_REQUEST) and not session.is_empty()


def _is_cookie_stale(session: SessionStore) -> bool:
    """Whether the site's own cookie names nothing any more."""
    return session.is_cookie_stale or session.is_empty()


def _is_cookie_secure() -> bool:
    name = settings.SESSION_COOKIE_NAME
    return settings.SESSION_COOKIE_SECURE or name.startswith(("__Host-", "__Secure-"))


def _set_session_cookie(session: SessionStore, response: HttpResponseBase) -> None:
    max_age = expires = None
    if not session.get_expire_at_browser_close():
        max_age = session.get_expiry_age()
        expires = http_date(time.time() + max_age)
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        session.session_key or "",
        max_age=max_age,
        expires=expires,
        path="/",
        # Host-only, whatever SESSION_COOKIE_DOMAIN says: siblings have no business with it.
        domain=None,
        secure=_is_cookie_secure(),
        httponly=settings.SESSION_COOKIE_HTTPONLY,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def _is_login_redirect(request: HttpRequest, response: HttpResponseBase) -> bool:
    if response.status_code not in {302, 303}:
        return False
    location = urlsplit(response.headers.get("Location", ""))
    if location.netloc not in {"", request.get_host()}:
        return False  # another site's hop
    return location.path == urlsplit(resolve_url(settings.LOGIN_URL)).path != request.path


def _leads_back(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the hop, sent there as by ``login_required``, would come back to this very page."""
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    target = urlsplit(query.get(auth.REDIRECT_FIELD_NAME, [""])[-1])
    return target.path == urlsplit(request.build_absolute_uri()).path


def _is_not_admitted(request: HttpRequest) -> bool:
    session = _session(request)
    return session is not None and isinstance(session.refusal, NotAdmitted)


def is_signed_in(request: HttpRequest) -> bool:
    """Whether the view has found that somebody is signed in, be it to another site. Asks nothing."""
    session = _session(request)
    if session is None:
        return False
    if _is_not_admitted(request):
        return True
    # The session is asked as well, for after logout() the cached user is there still.
    user = getattr(request, "_cached_user", None)
    is_open = session.known_identity is not None or session.has_local_login()
    return user is not None and user.is_authenticated and is_open


def _keep_alive(identity: Identity, milliseconds: int | None, first_seen: bool) -> None:
    try:
        if first_seen:
            store.note_first_seen(identity.sid, identity.sub)
        if milliseconds is not None:
            store.touch_session(identity.sid, milliseconds)
    except StoreUnavailable as error:
        # The response is out already, and the next request tries again.
        logger.warning("Idle timeout not extended: %s", error, extra={"reason": error.reason})


def _after(response: HttpResponseBase, action: Callable[[], None]) -> None:
    """Run an action once the response has been sent: servers call ``close`` then (PEP 3333)."""
    # Django closes files of its own this way, and unlike ``close`` itself it can be copied.
    response._resource_closers.append(_Afterwards(action))  # type: ignore[attr-defined]


class _Afterwards:
    """What is left to do once a response has been sent. A copy of the response, as Django's cache
    middleware makes and keeps it, has nothing left to do."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action

    def __call__(self) -> None:
        self.action()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Afterwards, (_nothing,)


def _nothing() -> None:
    """The rest of a copy."""
