"""The portal's authentication backend: a subject is a portal user, so no user has to be provisioned."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from sso_common.admission import require_current
from sso_common.backends import SSOBackend
from sso_common.exceptions import UserInactive
from sso_common.identity import Identity


class PortalBackend(SSOBackend):
    """Finds the user who has signed in."""

    def user_for(self, identity: Identity) -> Any:
        """Return the user. Raises ``UserInactive``, also if the user was deleted, or ``SessionRevoked``."""
        user = get_user_model().objects.filter(pk=identity.sub).first()
        if user is None:
            raise UserInactive(str(identity.sub))
        require_current(identity, is_active=user.is_active, not_before=user.not_before)
        return user

    def authenticate(self, request: Any, *args: Any, **credentials: Any) -> None:
        """Accept no credentials: the next backend does."""

    async def aauthenticate(self, request: Any, *args: Any, **credentials: Any) -> None:
        """Accept no credentials, as ``authenticate`` does."""
