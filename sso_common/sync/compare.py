"""Compares the feed with this site's users. Writes nothing, and can run at any time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sso_common import feed
from sso_common.models import Account, FeedCursor
from sso_common.users import Drift, find_drift

from .apply import active_accounts
from .pages import Progress, ignore_progress, pages


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a comparison. Both sides agree if ``drift`` is empty."""

    checked: int
    #: Users with changes that this site has not read yet; this is no drift.
    pending: int
    drift: tuple[Drift, ...]


def verify(progress: Progress = ignore_progress) -> Report:
    """Compare the whole feed with this site's users."""
    position, after = FeedCursor.load().position, 0
    found: dict[uuid.UUID, Drift | None] = {}
    unread: set[uuid.UUID] = set()
    # A user who changes during the comparison appears again later in the feed, and the later result
    # counts. The second round reads the changes since the end of the first.
    for _round in range(2):
        for page in pages(after):
            found |= dict.fromkeys(snapshot.sub for snapshot in page.users)
            found |= {drift.sub: drift for drift in find_drift(page.users)}
            unread |= {snapshot.sub for snapshot in page.users if snapshot.version > position}
            after = page.cursor
            progress(len(found), page.cursor, page.head)
    unknown = [
        Drift(sub, "extra" if version <= after else "ahead") for sub, version in active_accounts(found)
    ]
    drifts = [*filter(None, found.values()), *unknown]
    brought_in = brought_in_since([drift.sub for drift in drifts if drift.kind == "ahead"])
    pending = {
        drift.sub for drift in drifts if drift.sub in (brought_in if drift.kind == "ahead" else unread)
    }
    return Report(len(found), len(pending), tuple(drift for drift in drifts if drift.sub not in pending))


def brought_in_since(subs: list[uuid.UUID]) -> set[uuid.UUID]:
    """Return the subjects that are ahead of the feed as it was read, but not of the portal.

    A request has written them in the meantime.
    """
    if not subs:
        return set()
    head = feed.fetch_status().head
    accounts = Account._default_manager.in_bulk(subs)
    return {sub for sub, account in accounts.items() if account.version <= head}
