"""Reads the portal's feed: applies what is new, applies everything, or compares only.

A page and the cursor are written in one transaction, so a process that is killed continues where it
was, and two processes take turns.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Final

from django.db import OperationalError, router, transaction
from django.db.models import Min
from django.utils import timezone

from . import feed
from .database import atomically, is_locked
from .exceptions import FeedRewound, MalformedFeed
from .feed import FeedPage
from .models import Account, FeedCursor
from .users import (
    Drift,
    Mode,
    UpsertResult,
    current_mapping,
    deactivate_accounts,
    find_drift,
    remove_passwords,
    upsert_users,
)

#: Called after each page with (users read, last version read, newest version at the portal).
Progress = Callable[[int, int, int], None]

#: Seconds that a page waits for a user whom a request has locked.
PATIENCE: Final = 1
#: Accounts per statement.
BATCH: Final = 500


def ignore_progress(done: int, position: int, head: int) -> None:
    """Discard progress reports."""


def sync_once(progress: Progress = ignore_progress) -> UpsertResult:
    """Apply every change after the cursor.

    Raises what ``feed.fetch_page`` raises, and ``FeedRewound`` if the portal has fewer versions
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


def sync_mapping(progress: Progress = ignore_progress) -> UpsertResult:
    """Write all active users again who were written with another mapping of roles and fields.

    Reads the feed from the first of them, so a process that is killed continues where it was. Does
    nothing if this mapping has reached all users already. Call it once in a process: two processes with
    different settings would otherwise undo each other's work for ever. Raises what ``feed.fetch_page``
    raises.
    """
    total, done, fingerprint = UpsertResult(), 0, current_mapping().fingerprint
    if FeedCursor.load().mapping == fingerprint:
        return total
    stale = Account._default_manager.filter(is_active=True).exclude(mapping=fingerprint)
    first = stale.aggregate(first=Min("version"))["first"]
    for page in pages(max(0, first - 1)) if first is not None else ():
        total += upsert_users(page.users, mode="mapping")
        done += len(page.users)
        progress(done, page.cursor, page.head)
    save_mapping(fingerprint)
    return total


def save_mapping(fingerprint: str) -> None:
    """Remember that all users were written with this mapping."""
    with transaction.atomic(using=router.db_for_write(FeedCursor)):
        cursor = FeedCursor.lock()
        cursor.mapping = fingerprint
        cursor.save(update_fields=["mapping"])


def apply_page(page: FeedPage, position: int) -> UpsertResult | None:
    """Write a page and the cursor in one transaction.

    Returns None, and writes nothing, if another process has moved the cursor from ``position``. If a
    view that runs in a transaction has locked a user for long, writes the halves of the page: otherwise,
    all its users would wait for that view.
    """

    def apply() -> UpsertResult | None:
        cursor = FeedCursor.lock()
        if cursor.position != position:
            return None
        result = upsert_users(page.users)
        save_cursor(cursor, page.cursor, page.head)
        return result

    has_halves = len(page.users) > 1
    try:
        return atomically(router.db_for_write(FeedCursor), apply, patience=PATIENCE if has_halves else None)
    except OperationalError as error:
        if not has_halves or not is_locked(error):
            raise
    users, half = page.users, len(page.users) // 2
    first = FeedPage(users[:half], users[half - 1].version, more=True, head=page.head)
    done = apply_page(first, position)
    if done is None:
        return None
    rest = apply_page(FeedPage(users[half:], page.cursor, page.more, page.head), first.cursor)
    return done if rest is None else done + rest


def write_page(page: FeedPage, mode: Mode) -> UpsertResult:
    """Write a page without the cursor. Other processes of ``sso_sync`` wait."""

    def write() -> UpsertResult:
        FeedCursor.lock()
        return upsert_users(page.users, mode=mode)

    return atomically(router.db_for_write(FeedCursor), write)


def save_cursor(cursor: FeedCursor, position: int, head: int) -> None:
    cursor.position, cursor.head, cursor.synced_at = position, max(position, head), timezone.now()
    cursor.save(update_fields=["position", "head", "synced_at"])


@dataclass(frozen=True, slots=True)
class FullResult:
    """The result of a sync from the beginning."""

    upsert: UpsertResult
    #: Local users deactivated because the feed no longer has them.
    deactivated: int
    #: Linked users who had a password of this site, and have none now.
    passwords_removed: int
    #: The portal had fewer versions than this site: it was restored from a backup.
    rewound: bool


def sync_full(progress: Progress = ignore_progress) -> FullResult:
    """Apply the whole feed, undo local changes, and deactivate users who are missing from it. Remove
    passwords of this site from linked users.

    After the portal was restored from a backup, its older versions replace this site's newer ones.
    Raises what ``feed.fetch_page`` raises.
    """
    total, seen, rewound = UpsertResult(), set[uuid.UUID](), False
    for page in pages(0):
        if not seen:
            rewound = page.head < FeedCursor.load().position
        total += write_page(page, "force" if rewound else "repair")
        seen |= {snapshot.sub for snapshot in page.users}
        progress(len(seen), page.cursor, page.head)
    # A version after the end of the feed was brought in by a request while the feed was read.
    missing = [sub for sub, version in active_accounts(seen) if rewound or version <= page.cursor]
    if missing and not seen:
        raise MalformedFeed("it has no users at all; no user was deactivated")
    deactivated = sum(
        deactivate_accounts(missing[start : start + BATCH]) for start in range(0, len(missing), BATCH)
    )
    with transaction.atomic(using=router.db_for_write(FeedCursor)):
        cursor = FeedCursor.lock()
        position = page.cursor if rewound else max(page.cursor, cursor.position)
        save_cursor(cursor, position, page.head)
    save_mapping(current_mapping().fingerprint)
    return FullResult(total, deactivated, remove_passwords(), rewound)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a comparison. Both sides agree if ``drift`` is empty."""

    checked: int
    #: Users with changes that this site has not read yet. They are not drift.
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


def pages(after: int) -> Iterator[FeedPage]:
    """Yield the pages after a version. Raises what ``feed.fetch_page`` raises."""
    more = True
    while more:
        page = feed.fetch_page(after)
        yield page
        after, more = page.cursor, page.more


def active_accounts(known: Container[uuid.UUID]) -> Iterator[tuple[uuid.UUID, int]]:
    """Yield subject and version of every active account that is not among ``known``."""
    rows = Account._default_manager.filter(is_active=True).values_list("sub", "version")
    return ((sub, version) for sub, version in rows.iterator(chunk_size=2000) if sub not in known)
