"""The authentication backend: returns this site's user for a verified identity."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import load_backend
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ImproperlyConfigured

from . import users
from .identity import Identity


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

    def authenticate(self, request: Any, *args: Any, **credentials: Any) -> None:
        """Refuse all credentials: users sign in at the portal."""

    async def aauthenticate(self, request: Any, *args: Any, **credentials: Any) -> None:
        """Refuse all credentials, as ``authenticate`` does."""


def sso_backend() -> tuple[str, SSOBackend]:
    """Return the path and an instance of the first ``SSOBackend`` in ``AUTHENTICATION_BACKENDS``."""
    for path in settings.AUTHENTICATION_BACKENDS:
        backend = load_backend(path)
        if isinstance(backend, SSOBackend):
            return path, backend
    raise ImproperlyConfigured('Add "sso_common.backends.SSOBackend" to AUTHENTICATION_BACKENDS.')
