"""The portal's feed of users: its pages as both sides know them, and how a site fetches them.

Fetching is for ``sso_sync``, ``sso_link`` and ``sso_doctor``, never for a visitor's request.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from . import conf
from .client import get_signed
from .exceptions import MalformedFeed
from .snapshot import MAX_VERSION, UserSnapshot, parse_roles, parse_snapshot


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of the feed: snapshots by version, all of them after the requested cursor."""

    users: tuple[UserSnapshot, ...]
    #: The version to continue from.
    cursor: int
    more: bool
    #: The newest version at the portal.
    head: int

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that ``parse_page`` reads."""
        return {
            "users": [snapshot.to_wire() for snapshot in self.users],
            "cursor": self.cursor,
            "more": self.more,
            "head": self.head,
        }


@dataclass(frozen=True, slots=True)
class PortalStatus:
    """The portal's state. ``skew`` is how many seconds its clock is ahead of this machine's, give or
    take half of ``round_trip``."""

    time: float
    kids: tuple[str, ...]
    head: int
    skew: float
    round_trip: float
    #: The roles of this site; None if the portal is older and does not say.
    roles: frozenset[str] | None = None


def fetch_page(after: int, limit: int | None = None) -> FeedPage:
    """Fetch the changes after a version.

    Raises ``PortalUnavailable``, ``RequestRefused``, ``BadSignature``, ``UnknownKey``,
    ``MalformedFeed`` or ``MalformedSnapshot``. A ``head`` below ``after`` is not an error here.
    """
    limit = limit or conf.feed_page()
    return parse_page(get_signed("users", {"after": after, "limit": limit}), after)


def fetch_status() -> PortalStatus:
    """Fetch the portal's state. Raises the same exceptions as ``fetch_page``."""
    sent = time.time()
    raw = get_signed("status", {})
    round_trip = time.time() - sent
    try:
        kids, now = raw["kids"], raw["time"]
        if not isinstance(now, int | float) or not all(isinstance(kid, str) for kid in kids):
            raise MalformedFeed("status")
        skew = now - sent - round_trip / 2
        roles = parse_roles(raw["roles"]) if "roles" in raw else None
        return PortalStatus(float(now), tuple(kids), parse_version(raw, "head"), skew, round_trip, roles)
    except (KeyError, TypeError) as error:
        raise MalformedFeed("status") from error


def parse_page(raw: Any, after: int) -> FeedPage:
    """Turn a decoded answer into a page. Raises ``MalformedFeed`` or ``MalformedSnapshot``.

    A page that does not move the cursor forward, or that moves it past a user, is refused: it would
    cause an endless loop, or leave out a user forever.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("users"), list):
        raise MalformedFeed("users")
    if not isinstance(raw.get("more"), bool):
        raise MalformedFeed("more")
    users = tuple(parse_snapshot(each) for each in raw["users"])
    cursor, head = parse_version(raw, "cursor"), parse_version(raw, "head")
    versions = [after, *(user.version for user in users), cursor]
    if versions != sorted(versions) or (users and users[0].version == after):
        raise MalformedFeed("order")
    if raw["more"] and cursor == after:
        raise MalformedFeed("cursor")
    return FeedPage(users, cursor, raw["more"], head)


def parse_version(raw: dict[str, Any], name: str) -> int:
    """A version number in an answer."""
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VERSION:
        raise MalformedFeed(name)
    return value
