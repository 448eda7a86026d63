"""What one site may see of the users, and in which order it is told.

In: a registered site and its cursor. Out: a ``Page`` of snapshots. Called by ``views.py``.

A site that is open to everyone sees all users. One for members sees the holders of a role there, and a
tombstone for each subject it has been told of who holds none any more; of others it learns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from portal.accounts import versions
from portal.accounts.models import Tombstone, User
from portal.registry.models import Access, Grant, Site, SiteVisibility
from portal.registry.services import roles_by_site
from sso_common.snapshot import UserSnapshot, tombstone


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the feed: snapshots by version, and the cursor to go on from."""

    users: tuple[UserSnapshot, ...]
    cursor: int
    more: bool
    head: int

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that ``sso_common.feed`` reads."""
        return {
            "users": [snapshot.to_wire() for snapshot in self.users],
            "cursor": self.cursor,
            "more": self.more,
            "head": self.head,
        }


def read_page(site: Site, after: int, limit: int) -> Page:
    """The first ``limit`` changes after a version, as a site may see them.

    The head is read first and bounds the rest. Whatever is committed while this runs has a later
    version, and belongs to the next page; nothing can slip in behind the cursor.
    """
    head = versions.head()
    users = _users(site).filter(version__gt=after, version__lte=head).order_by("version")[: limit + 1]
    graves = _tombstones(site).filter(version__gt=after, version__lte=head).order_by("version")[: limit + 1]
    found = [*snapshots_for(site, users), *(tombstone(each.sub, each.version) for each in graves)]
    found.sort(key=lambda snapshot: snapshot.version)
    page, more = tuple(found[:limit]), len(found) > limit
    return Page(page, cursor=page[-1].version if more else max(after, head), more=more, head=head)


def snapshots_for(site: Site, users: Iterable[User]) -> list[UserSnapshot]:
    """Users as a site may see them now, in the order given: one query for all their roles."""
    users = list(users)
    roles = roles_by_site(user.pk for user in users)
    held = [roles.get(user.pk, {}).get(site.name, frozenset()) for user in users]
    return [
        user.to_snapshot(names)
        if names or site.access == Access.EVERYONE
        else tombstone(user.pk, user.version)
        for user, names in zip(users, held, strict=True)
    ]


def _users(site: Site) -> QuerySet[User]:
    rows = User.objects.all()
    if site.access == Access.EVERYONE:
        return rows
    is_member = Exists(Grant.objects.filter(role__site=site, user=OuterRef("pk")))
    return rows.filter(Q(is_member) | Q(_is_known(site, "pk")))


def _tombstones(site: Site) -> QuerySet[Tombstone]:
    rows = Tombstone.objects.all()
    return rows if site.access == Access.EVERYONE else rows.filter(_is_known(site, "sub"))


def _is_known(site: Site, sub: str) -> Exists:
    return Exists(SiteVisibility.objects.filter(site=site, sub=OuterRef(sub)))
