"""Reads the feed into this site's users: once, from the beginning, or only to compare.

In: pages from ``feed.py``. Out: users written by ``users.py``, and the cursor, in one transaction a
page. Killed at any moment, it goes on where it was; run twice at once, the two take turns.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from django.db import router, transaction
from django.utils import timezone

from . import feed, users
from .exceptions import FeedRewound, MalformedFeed
from .feed import FeedPage
from .models import Account, FeedCursor
from .users import Drift, UpsertResult

#: Called after each page with (users so far, versions read, versions in all).
Progress = Callable[[int, int, int], None]

_BATCH: Final = 500


def ignore_progress(done: int, position: int, head: int) -> None:
    """Nobody watches."""


def sync_once(progress: Progress = ignore_progress) -> UpsertResult:
    """Apply everything after the cursor.

    Raises what ``feed.fetch_page`` raises, and ``FeedRewound`` where the portal has fewer versions
    than this site has applied. Pages that were applied stay applied.
    """
    total = UpsertResult()
    done = 0
    while True:
        position = FeedCursor.load().position
        page = feed.fetch_page(position)
        if page.head < position:
            raise FeedRewound(f"{page.head} there, {position} here; run `manage.py sso_sync --full`")
        result = apply_page(page, position)
        if result is not None:
            total += result
            done += len(page.users)
            progress(done, page.cursor, page.head)
            if not page.more:
                return total


def apply_page(page: FeedPage, position: int) -> UpsertResult | None:
    """Write a page and the cursor in one transaction.

    None, and nothing written, where another process has moved the cursor since the page was asked
    for.
    """
    with transaction.atomic(using=router.db_for_write(FeedCursor)):
        cursor = FeedCursor.lock()
        if cursor.position != position:
            return None
        result = users.upsert_users(page.users)
        _save(cursor, page.cursor, page.head)
        return result


def _save(cursor: FeedCursor, position: int, head: int) -> None:
    cursor.position, cursor.head, cursor.synced_at = position, max(position, head), timezone.now()
    cursor.save(update_fields=["position", "head", "synced_at"])


@dataclass(frozen=True, slots=True)
class FullResult:
    """What came of a sync from the beginning."""

    upsert: UpsertResult
    #: Local users deactivated because the feed has them no more.
    deactivated: int
    #: The portal had fewer versions than this site: it was restored from a backup.
    rewound: bool


def sync_full(progress: Progress = ignore_progress) -> FullResult:
    """Apply the whole feed, undo what was changed locally, and deactivate whom the feed does not
    have.

    After the portal was restored from a backup, what it says now replaces what it said then.
    Raises what ``feed.fetch_page`` raises.
    """
    total, done = UpsertResult(), 0
    seen: set[uuid.UUID] = set()
    rewound = False
    page = FeedPage((), 0, more=True, head=0)
    for page in pages(0):
        if not seen:
            rewound = page.head < FeedCursor.load().position
        total += users.upsert_users(page.users, mode="force" if rewound else "repair")
        seen |= {snapshot.sub for snapshot in page.users}
        done += len(page.users)
        progress(done, page.cursor, page.head)
    missing = [sub for sub, version in _active_accounts(seen) if rewound or version <= page.cursor]
    if missing and not seen:
        raise MalformedFeed("it holds nobody at all; nobody was deactivated")
    deactivated = sum(
        users.deactivate_accounts(missing[start : start + _BATCH]) for start in range(0, len(missing), _BATCH)
    )
    with transaction.atomic(using=router.db_for_write(FeedCursor)):
        cursor = FeedCursor.lock()
        position = page.cursor if rewound else max(page.cursor, cursor.position)
        _save(cursor, position, page.head)
    return FullResult(total, deactivated, rewound)


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison found; the two sides agree where ``drift`` is empty."""

    checked: int
    #: Users with changes that this site has not read yet: behind, and not in disagreement.
    pending: int
    drift: tuple[Drift, ...]


def verify(progress: Progress = ignore_progress) -> Report:
    """Compare the whole feed with this site's users; writes nothing, and may run at any time."""
    position = FeedCursor.load().position
    seen: set[uuid.UUID] = set()
    drift: dict[uuid.UUID, Drift] = {}
    pending: set[uuid.UUID] = set()
    after = 0
    # A user who changes while this runs is further on in the feed once more, and what was found
    # before does not count. The second round reads what changed after the end of the first.
    for _round in range(2):
        for page in pages(after):
            found = {each.sub: each for each in users.find_drift(page.users)}
            for snapshot in page.users:
                seen.add(snapshot.sub)
                drift.pop(snapshot.sub, None)
                pending.discard(snapshot.sub)
                each = found.get(snapshot.sub)
                if each is None:
                    continue
                if snapshot.version > position and each.kind != "ahead":
                    pending.add(snapshot.sub)
                else:
                    drift[snapshot.sub] = each
            after = page.cursor
            progress(len(seen), page.cursor, page.head)
    for sub, version in _active_accounts(seen):
        drift[sub] = Drift(sub, "extra" if version <= after else "ahead")
    for sub in _provisioned_meanwhile([sub for sub, each in drift.items() if each.kind == "ahead"]):
        del drift[sub]
        pending.add(sub)
    return Report(len(seen), len(pending), tuple(drift.values()))


def _provisioned_meanwhile(subs: list[uuid.UUID]) -> list[uuid.UUID]:
    """Who is ahead of the feed as it was read, and not ahead of the portal: a request has brought
    them since."""
    if not subs:
        return []
    head = feed.fetch_status().head
    rows = Account._default_manager.filter(version__lte=head).values_list("sub", flat=True)
    return [
        sub
        for start in range(0, len(subs), _BATCH)
        for sub in rows.filter(pk__in=subs[start : start + _BATCH])
    ]


def pages(after: int) -> Iterator[FeedPage]:
    """The feed after a version, page by page. Raises what ``feed.fetch_page`` raises."""
    while True:
        page = feed.fetch_page(after)
        yield page
        if not page.more:
            return
        after = page.cursor


def _active_accounts(but: set[uuid.UUID]) -> Iterable[tuple[uuid.UUID, int]]:
    rows = Account._default_manager.filter(is_active=True).values_list("sub", "version")
    return ((sub, version) for sub, version in rows.iterator(chunk_size=2000) if sub not in but)
