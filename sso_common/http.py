"""What the middlewares add to a request, as types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .identity import Identity
from .sessions import SessionStore

#: Of whatever model this site has.
User = Any

if TYPE_CHECKING:

    class SSORequest(HttpRequest):
        """A request that went through both middlewares."""

        session: SessionStore
        user: User
        auser: Callable[[], Awaitable[User]]
        #: Lazy: test it by its truth, never with ``is None``.
        sso: Identity | None
        asso: Callable[[], Awaitable[Identity | None]]
        _cached_user: User

else:
    SSORequest = HttpRequest


def attach_identity(request: Any) -> None:
    """Set ``request.sso``. It is evaluated once, so whatever changes the user sets it again."""
    request.sso = SimpleLazyObject(lambda: request.session.identity)


def change_user(request: Any, user: User) -> None:
    """Make a request that of another user, after a login or a logout."""
    attach_identity(request)
    request._cached_user = user


def sso_request(request: HttpRequest) -> SSORequest:
    """A request, as the type that it has below the middlewares."""
    return cast(SSORequest, request)


def session_of(request: Any) -> SessionStore | None:
    """A request's session, if it is ours. A request that another middleware has answered has none."""
    session = getattr(request, "session", None)
    return session if isinstance(session, SessionStore) else None
