"""The portal's backend: a subject *is* a portal user, so nothing is provisioned."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from sso_common.backends import SSOBackend
from sso_common.exceptions import SessionRevoked, UserInactive
from sso_common.identity import Identity


class PortalBackend(SSOBackend):
    """From an identity to the user who signed in."""

    def user_for(self, identity: Identity) -> Any:
        """Raises ``UserInactive`` (also where the user is gone) or ``SessionRevoked``."""
        return _admit(get_user_model().objects.filter(pk=identity.sub).first(), identity)

    async def auser_for(self, identity: Identity) -> Any:
        """``user_for`` for async code."""
        return _admit(await get_user_model().objects.filter(pk=identity.sub).afirst(), identity)


def _admit(user: Any, identity: Identity) -> Any:
    # The record may come from a Redis that is older than the database.
    if user is None or not user.is_active:
        raise UserInactive(str(identity.sub))
    if identity.auth_time < user.not_before:
        raise SessionRevoked(str(identity.sub))
    return user
