"""A user as the portal describes it to a site, in the feed and in identity records.

The portal writes the JSON form with ``UserSnapshot.to_wire``; sites read it with ``parse_snapshot``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from .exceptions import MalformedSnapshot

#: The largest value of a signed 64-bit column.
MAX_VERSION = 2**63 - 1
MAX_TEXT = 254
MAX_ROLES = 256


@dataclass(frozen=True, slots=True)
class UserSnapshot:
    """One user at one version, as one site sees them.

    ``sub`` never changes. ``version`` grows with every change that a site can see. ``not_before``
    (seconds since the epoch) ends all sessions with an earlier ``auth_time``. ``roles`` are the
    roles at the receiving site. ``deleted`` marks a tombstone, whose personal fields are empty.
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
        """The user's name for pages and emails."""
        return display_name(self.first_name, self.last_name, self.username)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that ``parse_snapshot`` reads."""
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
    """Return the last snapshot of a user who was deleted or is no longer visible to the site."""
    return UserSnapshot(sub=sub, version=version, is_active=False, deleted=True)


def parse_snapshot(raw: object) -> UserSnapshot:
    """Return the snapshot in a decoded JSON object.

    Raises ``MalformedSnapshot``, with the name of the field, if a field is missing, has the wrong
    type or is too long. Unknown fields are ignored: a newer portal may send them.
    """
    if not isinstance(raw, dict):
        raise MalformedSnapshot("not an object")
    try:
        sub = uuid.UUID(text_field(raw, "sub", limit=36))
    except ValueError as error:
        raise MalformedSnapshot("sub") from error
    if str(sub) != raw["sub"]:
        raise MalformedSnapshot("sub")
    return UserSnapshot(
        sub=sub,
        version=integer_field(raw, "version"),
        username=text_field(raw, "username"),
        email=text_field(raw, "email"),
        email_verified=flag_field(raw, "email_verified"),
        first_name=text_field(raw, "first_name"),
        last_name=text_field(raw, "last_name"),
        is_active=flag_field(raw, "is_active"),
        not_before=integer_field(raw, "not_before"),
        roles=parse_roles(raw.get("roles")),
        deleted=flag_field(raw, "deleted"),
    )


def parse_roles(raw: object) -> frozenset[str]:
    """Return the role names in a JSON list. Raises ``MalformedSnapshot``."""
    if not isinstance(raw, list) or len(raw) > MAX_ROLES:
        raise MalformedSnapshot("roles")
    for role in raw:
        if not isinstance(role, str) or not 0 < len(role) <= MAX_TEXT:
            raise MalformedSnapshot("roles")
    return frozenset(raw)


def text_field(raw: dict[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or len(value) > limit or "\x00" in value:
        raise MalformedSnapshot(name)
    # JSON can encode half of a surrogate pair, which no database can store.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise MalformedSnapshot(name)
    return value


def integer_field(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    # In Python, bool is an int.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VERSION:
        raise MalformedSnapshot(name)
    return value


def flag_field(raw: dict[str, Any], name: str) -> bool:
    value = raw.get(name)
    if not isinstance(value, bool):
        raise MalformedSnapshot(name)
    return value
