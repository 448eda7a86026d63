"""Reads a page of the feed: the snapshots that one site may see, by version.

A site that is open to everyone sees all users. A site for members sees users with a role there, and
tombstones of subjects that it has seen and that have no role any more. It learns nothing about others.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from portal.accounts import versions
from portal.accounts.models import Tombstone, User
from portal.registry.access import roles_by_site
from portal.registry.models import Access, Grant, Site, SiteVisibility
from sso_common.feed import FeedPage
from sso_common.snapshot import UserSnapshot, tombstone


def read_page(site: Site, after: int, limit: int) -> FeedPage:
    """Return the first ``limit`` changes after a version, as a site may see them.

    The head is read first, and limits the rest. A change that is committed while this runs has a later
    version, so it belongs to the next page, and is not skipped.
    """
    head = versions.head()
    users = visible_users(site).filter(version__gt=after, version__lte=head).order_by("version")[: limit + 1]
    deleted = (
        visible_tombstones(site).filter(version__gt=after, version__lte=head).order_by("version")[: limit + 1]
    )
    found = [*snapshots_for(site, users), *(tombstone(each.sub, each.version) for each in deleted)]
    found.sort(key=lambda snapshot: snapshot.version)
    page, more = tuple(found[:limit]), len(found) > limit
    return FeedPage(page, cursor=page[-1].version if more else max(after, head), more=more, head=head)


def snapshots_for(site: Site, users: Iterable[User]) -> list[UserSnapshot]:
    """Return users as a site may see them now, in the same order. One query for all roles."""
    users = list(users)
    roles = roles_by_site(user.pk for user in users)
    held = [roles.get(user.pk, {}).get(site.name, frozenset()) for user in users]
    return [
        user.to_snapshot(names)
        if names or site.access == Access.EVERYONE
        else tombstone(user.pk, user.version)
        for user, names in zip(users, held, strict=True)
    ]


def visible_users(site: Site) -> QuerySet[User]:
    """Users that a site sees, or has seen."""
    rows = User.objects.all()
    if site.access == Access.EVERYONE:
        return rows
    is_member = Exists(Grant.objects.filter(role__site=site, user=OuterRef("pk")))
    return rows.filter(Q(is_member) | Q(has_seen(site, "pk")))


def visible_tombstones(site: Site) -> QuerySet[Tombstone]:
    """Deleted users that a site has seen."""
    rows = Tombstone.objects.all()
    return rows if site.access == Access.EVERYONE else rows.filter(has_seen(site, "sub"))


def has_seen(site: Site, sub: str) -> Exists:
    """The condition that a site has seen the subject in this column."""
    return Exists(SiteVisibility.objects.filter(site=site, sub=OuterRef(sub)))
