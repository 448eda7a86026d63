"""The authentication backend: returns this site's user for a verified identity."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ImproperlyConfigured, PermissionDenied

from . import conf, users
from .addresses import is_emergency_login
from .identity import Identity

#: The user whom a session has just named under Django's keys, for the ``get_user`` that follows.
named_user: Final[ContextVar[Any]] = ContextVar("sso_common.named_user", default=None)


class SSOBackend(ModelBackend):
    """Users come from the portal. Permissions come from this site, as in ``ModelBackend``.

    Override ``user_for`` to store users in another way, or to add a condition. Async requests call it, too,
    in a thread:

    >>> from sso_common.exceptions import NotAdmitted
    >>> class StaffBackend(SSOBackend):
    ...     def user_for(self, identity):
    ...         if "staff" not in identity.roles:
    ...             raise NotAdmitted
    ...         return super().user_for(identity)
    """

    def user_for(self, identity: Identity) -> Any:
        """Return the local user of an identity, see ``users.resolve_user``.

        Costs one query if the user is known and current. Raises ``UserInactive``,
        ``SessionRevoked`` or ``NotAdmitted``.
        """
        return users.resolve_user(identity)

    def get_user(self, user_id: Any) -> Any:
        """Return the user whose key a session names, for ``django.contrib.auth.get_user``. No query if the
        session has just found that user."""
        user = take_named_user(user_id)
        return super().get_user(user_id) if user is None else user

    async def aget_user(self, user_id: Any) -> Any:
        """``get_user`` for async code."""
        user = take_named_user(user_id)
        return await super().aget_user(user_id) if user is None else user

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **credentials: Any
    ) -> None:
        """Accept no credentials: users sign in at the portal.

        Raises ``PermissionDenied`` for a user who is linked to a subject, so that no other backend
        accepts a password of this site, unless ``SSO_LOCAL_LOGIN`` is set, or in an emergency.
        """
        model: Any = get_user_model()
        name = username or credentials.get(model.USERNAME_FIELD) or credentials.get("email")
        if not name or conf.local_login() or is_emergency_login(request):
            return
        if users.is_linked_name(name):
            model().set_password(password)  # takes as long as for an unknown user
            raise PermissionDenied

    async def aauthenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **credentials: Any
    ) -> None:
        """``authenticate`` for async code."""
        await sync_to_async(self.authenticate)(request, username, password, **credentials)


def take_named_user(user_id: Any) -> Any:
    """Return ``named_user`` if it has this key, else None. Once only, because a user grows old."""
    user = named_user.get()
    named_user.set(None)
    return user if user is not None and user.pk == user_id else None


def sso_backend() -> tuple[str, SSOBackend]:
    """Return the path and an instance of the first ``SSOBackend`` in ``AUTHENTICATION_BACKENDS``."""
    for path in settings.AUTHENTICATION_BACKENDS:
        backend = load_backend(path)
        if isinstance(backend, SSOBackend):
            return path, backend
    raise ImproperlyConfigured('Add "sso_common.backends.SSOBackend" to AUTHENTICATION_BACKENDS.')
