"""The authentication backend: from a verified identity to this site's user.

In: an ``Identity``. Out: the local user, or the reason why there is none. Called by the
middleware; a project that keeps its users elsewhere overrides ``user_for`` and ``auser_for``.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import load_backend
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ImproperlyConfigured

from . import users
from .identity import Identity


class SSOBackend(ModelBackend):
    """Users come from the portal; permissions come from this site, as in ``ModelBackend``."""

    def user_for(self, identity: Identity) -> Any:
        """The local user of a subject: one query, and where it is unknown or out of date it is
        provisioned from the record. Raises ``UserInactive`` or ``SessionRevoked``."""
        return users.resolve_user(identity)

    async def auser_for(self, identity: Identity) -> Any:
        """``user_for`` for async code."""
        return await sync_to_async(self.user_for)(identity)

    def authenticate(self, request: Any, *args: Any, **credentials: Any) -> None:
        """Nobody signs in at a site with credentials: that is what the portal is for."""
        return None

    async def aauthenticate(self, request: Any, *args: Any, **credentials: Any) -> None:
        """See ``authenticate``."""
        return None


def sso_backend() -> tuple[str, SSOBackend]:
    """The first backend in ``AUTHENTICATION_BACKENDS`` that is an ``SSOBackend``, and its path."""
    for path in settings.AUTHENTICATION_BACKENDS:
        backend = load_backend(path)
        if isinstance(backend, SSOBackend):
            return path, backend
    raise ImproperlyConfigured('Add "sso_common.backends.SSOBackend" to AUTHENTICATION_BACKENDS.')
