"""Decides whether the user of a verified identity has access to a site.

``SessionStore`` and ``users.resolve_user`` call it at a site, the portal's backend at the portal.
"""

from __future__ import annotations

from .exceptions import NotAdmitted, SessionRevoked, UserInactive
from .identity import Identity


def require_admission(identity: Identity, site: str) -> None:
    """Check what the identity record alone says about a site.

    Raises, in this order: ``UserInactive``, ``SessionRevoked`` or ``NotAdmitted``.
    """
    require_current(identity, is_active=identity.user.is_active, not_before=identity.user.not_before)
    if not identity.is_admitted_to(site):
        raise NotAdmitted(str(identity.sub))


def require_current(identity: Identity, *, is_active: bool, not_before: int) -> None:
    """Check an identity against what a database says about its user.

    The database may be newer than the record: after a failover, Redis can hold a record that was
    revoked. ``not_before`` is in seconds since the epoch. Raises ``UserInactive`` or
    ``SessionRevoked``.
    """
    if not is_active:
        raise UserInactive(str(identity.sub))
    if identity.auth_time < not_before:
        raise SessionRevoked(str(identity.sub))
