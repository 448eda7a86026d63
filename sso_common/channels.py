"""WebSockets: ``SSOMiddlewareStack`` for Channels, and for any other ASGI application. In ``asgi.py``::

    application = ProtocolTypeRouter({
        "http": get_asgi_application(),
        "websocket": SSOMiddlewareStack(URLRouter(websocket_urlpatterns)),
    })

It replaces ``AllowedHostsOriginValidator(AuthMiddlewareStack(...))``, which never sees the SSO cookie. It
does not import Channels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any, Final, NoReturn

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import alogout
from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from .exceptions import StoreUnavailable, Unavailable
from .http import SSORequest, sso_request
from .middleware import SessionMiddleware, attach
from .sockets import WatchedSocket

logger = logging.getLogger("sso_common.channels")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Seconds between two examinations of an open socket.
RECHECK: Final = 30.0


class SSOMiddlewareStack:
    """Adds ``scope["session"]``, ``scope["user"]``, ``scope["sso"]`` and ``scope["cookies"]``.

    A handshake whose ``Origin`` is not this site's is refused (403): browsers send cookies with WebSockets
    of any page (cross-site WebSocket hijacking). Further origins are those in ``CSRF_TRUSTED_ORIGINS``.
    While Redis cannot answer, a handshake is refused with 503.

    An open socket is examined every ``recheck`` seconds. If its user has signed out, has lost access or has
    other roles now, it is closed with the code 4401. That costs one round trip and one query, for each
    socket of a signed-in user.
    """

    def __init__(self, inner: Application, *, recheck: float = RECHECK) -> None:
        self.inner = inner
        self.recheck = recheck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            raise ValueError(f"SSOMiddlewareStack serves WebSockets only, not {scope['type']!r}.")
        handshake = as_request(scope)
        if not has_trusted_origin(handshake):
            origin, host = handshake.META.get("HTTP_ORIGIN"), handshake.META.get("HTTP_HOST")
            logger.warning("WebSocket refused: Origin %r is not %r.", origin, f"{handshake.scheme}://{host}")
            await refuse(scope, receive, send, 403)
            return
        try:
            request = await find_user(scope)
        except Unavailable as error:
            logger.warning("WebSocket refused: %s", error, extra={"reason": error.reason})
            await refuse(scope, receive, send, 503)
            return
        try:
            await request.session.arun(request.session.extend_flow())
        except StoreUnavailable as error:
            logger.warning("Idle timeout not extended: %s", error, extra={"reason": error.reason})
        scope = {
            **scope,
            "cookies": request.COOKIES,
            "session": request.session,
            "user": await request.auser(),
            "sso": await request.asso(),
        }
        seconds = self.recheck if scope["user"].is_authenticated else math.inf
        watched = WatchedSocket(receive, send, lambda: still_signed_in(scope), seconds)
        try:
            await self.inner(scope, watched.receive, watched.send)
        finally:
            watched.end()


async def still_signed_in(scope: Scope) -> bool:
    """Whether the user of a socket is still signed in, has access and has the same roles.

    Costs one round trip and one query. Raises ``Unavailable``.
    """
    request = await find_user(scope)
    user, identity = await request.auser(), await request.asso()
    return user == scope["user"] and roles_of(identity) == roles_of(scope["sso"])


async def sign_out(scope: Scope) -> None:
    """Sign the user of a socket out, on all sites. (Channels' own ``logout`` does not.)"""
    request = as_request(scope)
    request.session = session = scope["session"]
    session.unavailable = None  # an outage is over after a request, and a socket lives longer
    attach(sso_request(request))
    await alogout(request)
    scope["user"], scope["sso"] = AnonymousUser(), None


def roles_of(identity: Any) -> frozenset[str] | None:
    return identity.roles if identity else None


async def find_user(scope: Scope) -> SSORequest:
    """Find out who is signed in now, from the cookies of a handshake. Raises ``Unavailable``."""
    request = as_request(scope)
    session_middleware()(answers_nothing).process_request(request)
    attach(sso_request(request))
    # No request begins or ends here, which would do this.
    await sync_to_async(close_old_connections)()
    try:
        await sso_request(request).auser()
    finally:
        await sync_to_async(close_old_connections)()
    return sso_request(request)


def session_middleware() -> type[SessionMiddleware]:
    """The session middleware of this site: a subclass may ask for more than the SSO cookie."""
    found = map(import_string, settings.MIDDLEWARE)
    ours = (each for each in found if isinstance(each, type) and issubclass(each, SessionMiddleware))
    return next(ours, SessionMiddleware)


def as_request(scope: Scope) -> HttpRequest:
    """The handshake as Django's request: it is a GET."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())


def has_trusted_origin(request: HttpRequest) -> bool:
    """Whether a handshake comes from a page that may also send forms to this site.

    By the same rule, and from the same setting, as Django's protection against CSRF.
    """
    if "HTTP_ORIGIN" not in request.META:
        return False
    is_trusted: bool = CsrfViewMiddleware(answers_nothing)._origin_verified(request)  # type: ignore[attr-defined]
    return is_trusted


def answers_nothing(request: HttpRequest) -> NoReturn:
    """What the middlewares need and never call here."""
    raise NotImplementedError


async def refuse(scope: Scope, receive: Receive, send: Send, status: int) -> None:
    """Answer a handshake with a status; with 403 where the server knows no other."""
    await receive()  # the handshake
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"retry-after", b"5")] if status == 503 else []
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1013 if status == 503 else 1008})
