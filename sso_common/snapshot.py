"""The portal's view of one user at one version: the wire shape that both sides share. Pure.

In: a decoded JSON object, from the feed or from an identity record. Out: a frozen
``UserSnapshot``, or ``MalformedSnapshot``. Made by the portal, read by ``users.py``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from .exceptions import MalformedSnapshot

#: More than any version counter reaches; keeps a value inside a signed 64-bit column.
MAX_VERSION = 2**63 - 1
MAX_TEXT = 254
MAX_ROLES = 256


@dataclass(frozen=True, slots=True)
class UserSnapshot:
    """One user at one version, as one site may see them.

    ``sub`` is permanent. ``version`` grows with every change that a site can see. ``not_before``
    (seconds since the epoch) ends all sessions with an earlier ``auth_time``. ``roles`` are those
    at the receiving site. ``deleted`` marks a tombstone, whose personal fields are empty.
    """

    sub: uuid.UUID
    version: int
    username: str = ""
    email: str = ""
    email_verified: bool = False
    first_name: str = ""
    last_name: str = ""
    is_active: bool = True
    not_before: int = 0
    roles: frozenset[str] = frozenset()
    deleted: bool = False

    @property
    def display_name(self) -> str:
        """The full name, or the username where no name is known."""
        return f"{self.first_name} {self.last_name}".strip() or self.username

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that ``parse_snapshot`` reads."""
        return {
            "sub": str(self.sub),
            "version": self.version,
            "username": self.username,
            "email": self.email,
            "email_verified": self.email_verified,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "is_active": self.is_active,
            "not_before": self.not_before,
            "roles": sorted(self.roles),
            "deleted": self.deleted,
        }


def display_name(first_name: str, last_name: str, username: str) -> str:
    """Return the full name, or the username if there is no name.

    >>> display_name("Ada", "Lovelace", "ada")
    'Ada Lovelace'
    >>> display_name("", "", "ada")
    'ada'
    """
    return f"{first_name} {last_name}".strip() or username


def tombstone(sub: uuid.UUID, version: int) -> UserSnapshot:
    """The last snapshot of a user who is deleted, or no longer visible to the site."""
    return UserSnapshot(sub=sub, version=version, is_active=False, deleted=True)


def parse_snapshot(raw: object) -> UserSnapshot:
    """Turn a decoded JSON object into a snapshot, or raise ``MalformedSnapshot`` naming the field.

    Fields that a newer portal may add are ignored; missing, mistyped or oversized ones are errors.
    """
    if not isinstance(raw, dict):
        raise MalformedSnapshot("not an object")
    try:
        sub = uuid.UUID(_text(raw, "sub", limit=36))
    except ValueError as error:
        raise MalformedSnapshot("sub") from error
    if str(sub) != raw["sub"]:
        raise MalformedSnapshot("sub")
    return UserSnapshot(
        sub=sub,
        version=_integer(raw, "version"),
        username=_text(raw, "username"),
        email=_text(raw, "email"),
        email_verified=_flag(raw, "email_verified"),
        first_name=_text(raw, "first_name"),
        last_name=_text(raw, "last_name"),
        is_active=_flag(raw, "is_active"),
        not_before=_integer(raw, "not_before"),
        roles=parse_roles(raw.get("roles")),
        deleted=_flag(raw, "deleted"),
    )


def parse_roles(raw: object) -> frozenset[str]:
    """A JSON list of role names."""
    if not isinstance(raw, list) or len(raw) > MAX_ROLES:
        raise MalformedSnapshot("roles")
    for role in raw:
        if not isinstance(role, str) or not 0 < len(role) <= MAX_TEXT:
            raise MalformedSnapshot("roles")
    return frozenset(raw)


def _text(raw: dict[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or len(value) > limit or "\x00" in value:
        raise MalformedSnapshot(name)
    # JSON can spell half of a surrogate pair; no database can store it.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise MalformedSnapshot(name)
    return value


def _integer(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    # bool is an int in Python, and not in JSON.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VERSION:
        raise MalformedSnapshot(name)
    return value


def _flag(raw: dict[str, Any], name: str) -> bool:
    value = raw.get(name)
    if not isinstance(value, bool):
        raise MalformedSnapshot(name)
    return value
