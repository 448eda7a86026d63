"""Writes snapshots to this site's users.

``sso_sync`` calls it with pages of the feed, ``resolve_user`` with the snapshot of an identity
record.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import Error, IntegrityError, connections, router, transaction
from django.db.models.deletion import ProtectedError, RestrictedError
from django.db.models.signals import ModelSignal, post_save, pre_save

from sso_common import conf
from sso_common.database import atomically, is_unstorable
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot

from .change import Change, plan_change
from .groups import write_groups
from .mapping import current_mapping, is_mapped_anew, stored_mappings
from .saving import send, update_users
from .unique import Conflict, UniqueField, unique_text_fields

logger = logging.getLogger("sso_common.users")

#: "newer" applies snapshots that are newer than the account, or that were applied with another mapping.
#: "mapping" applies these too, but to accounts only that exist, and without a pause. "repair" also applies
#: the same version, to undo local changes. "force" applies any, after the portal was restored from a backup.
Mode = Literal["newer", "mapping", "repair", "force"]

Plan: TypeAlias = tuple[list[Change], list[UniqueField]]

#: What a snapshot that cannot be stored raises, beside errors of the database. It must not hold up others.
ROW_ERRORS: Final = (IntegrityError, ValidationError, ValueError, TypeError)
#: A transaction may just have taken the username, or created the user. The next attempt sees it.
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """This site's database or mapper rejected a snapshot."""

    sub: uuid.UUID
    error: Exception


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """Counts for a page of snapshots.

    Each snapshot counts as created, updated, unchanged, deleted or failed. Results can be added.
    """

    created: int = 0
    updated: int = 0
    #: Not newer than the account, or the tombstone of a user who is unknown here.
    unchanged: int = 0
    #: Tombstones applied.
    deleted: int = 0
    #: Updated users who were active before and are not now.
    deactivated: int = 0
    conflicts: tuple[Conflict, ...] = ()
    failed: tuple[Failure, ...] = ()

    def __add__(self, other: UpsertResult) -> UpsertResult:
        names = [field.name for field in fields(self)]
        return UpsertResult(*(getattr(self, name) + getattr(other, name) for name in names))


def upsert_users(
    snapshots: Iterable[UserSnapshot], *, source: str = "feed", mode: Mode = "newer"
) -> UpsertResult:
    """Write snapshots to this site's users in one transaction.

    The number of queries does not grow with the number of snapshots. Older versions never overwrite
    newer ones, and concurrent calls are safe. Snapshots that the database rejects are reported in
    ``failed``; the others are written. Sends ``pre_save`` and ``post_save``, so that receivers of
    the site (that create a profile, for example) keep working.
    """
    latest = {snapshot.sub: snapshot for snapshot in sorted(snapshots, key=lambda each: each.version)}
    result = upsert_page(list(latest.values()), mode)
    for conflict in result.conflicts:
        logger.warning(
            "Another user of this site has the %s of subject %s, who was given a different one.",
            conflict.field,
            conflict.sub,
        )
    for failure in result.failed:
        logger.error(
            "Subject %s was not written (%s, from the %s): the user model or the mapper rejects it.",
            failure.sub,
            type(failure.error).__name__,
            source,
        )
    return result


def upsert_page(page: list[UserSnapshot], mode: Mode) -> UpsertResult:
    """Write a page at once or, if that fails, its halves."""
    using = router.db_for_write(Account)
    attempts = ATTEMPTS
    while True:
        attempts -= 1
        try:
            return atomically(using, lambda: Upsert(using, mode).run(page))
        except (*ROW_ERRORS, Error) as error:
            if not isinstance(error, ROW_ERRORS) and not is_unstorable(error):
                raise
            if attempts and isinstance(error, IntegrityError):
                continue
            if len(page) == 1:
                return UpsertResult(failed=(Failure(page[0].sub, error),))
            half = len(page) // 2
            return upsert_page(page[:half], mode) + upsert_page(page[half:], mode)


class Upsert:
    """Writes one page of snapshots, in a transaction.

    It locks the accounts that it writes and no others, because a request that runs in one transaction
    (``ATOMIC_REQUESTS``) keeps its locks until the view ends.
    """

    def __init__(self, using: str, mode: Mode) -> None:
        self.using = using
        self.mode = mode
        self.model = get_user_model()
        self.users = self.model._base_manager.using(using)
        self.accounts = Account._default_manager.using(using)
        self.mapper = conf.user_mapper()()

    def run(self, page: list[UserSnapshot]) -> UpsertResult:
        changes, fields = self.plan_locked(page)
        with_user = [change for change in changes if not self.delete_user(change)]
        conflicts = [conflict for field in fields for conflict in field.make_unique(with_user)]
        self.write_users(with_user)
        write_groups(with_user, self.using)
        self.write_accounts(changes)
        return UpsertResult(
            created=(created := sum(change.is_new for change in with_user)),
            deleted=(deleted := sum(change.snapshot.deleted for change in changes)),
            updated=len(changes) - created - deleted,
            unchanged=len(page) - len(changes),
            deactivated=sum(change.deactivates for change in changes),
            conflicts=tuple(conflicts),
        )

    def plan_locked(self, page: list[UserSnapshot]) -> Plan:
        """Lock what is going to be written, and plan."""
        if not connections[self.using].features.has_select_for_update:
            # SQLite locks all of a database. Only the first statement of a transaction can wait for that.
            FeedCursor.lock()
            return self.plan(page)
        changes, fields = self.plan(page)
        subs = {change.account.sub for change in changes if not change.account._state.adding}
        subs = subs.union(*(field.yielding() for field in fields))
        if not subs:
            return changes, fields  # unique constraints alone tell whether somebody else creates them, too
        Account.lock(subs)
        return self.plan(page)  # the rows may have changed before they were locked

    def plan(self, page: list[UserSnapshot]) -> Plan:
        accounts = self.accounts.select_related("user").in_bulk([snapshot.sub for snapshot in page])
        due = [snapshot for snapshot in page if self.is_due(snapshot, accounts.get(snapshot.sub))]
        if not due:
            return [], []
        former = stored_mappings((each.mapping for each in accounts.values() if each.mapping), self.using)
        current = current_mapping()
        changes = [
            plan_change(snapshot, accounts.get(snapshot.sub), self.mapper, current, former)
            for snapshot in due
        ]
        names = sorted(unique_text_fields(self.model))
        return changes, [UniqueField(name, changes, self.mapper, self.using) for name in names]

    def is_due(self, snapshot: UserSnapshot, account: Account | None) -> bool:
        if account is None:
            return not snapshot.deleted and self.mode != "mapping"
        if self.mode == "force" or snapshot.version != account.version:
            return self.mode == "force" or snapshot.version > account.version
        if self.mode == "mapping":
            return account.mapping != current_mapping().fingerprint
        return self.mode == "repair" or is_mapped_anew(account)

    def delete_user(self, change: Change) -> bool:
        """Delete the user of a tombstone if ``SSO_HARD_DELETE`` is set.

        Returns whether no user is left to write. If other rows protect the user, it is blanked instead.
        """
        if not change.snapshot.deleted or change.is_new:
            return change.snapshot.deleted
        if not conf.hard_delete():
            return False
        try:
            with transaction.atomic(using=self.using):
                # The account must outlive its user, so it is unlinked first.
                self.accounts.filter(pk=change.account.pk).update(user=None)
                change.user.delete(using=self.using)
        except (ProtectedError, RestrictedError):
            logger.warning(
                "Subject %s was deleted at the portal, but other rows protect the local user: it is blanked "
                "and deactivated instead.",
                change.account.sub,
            )
            return False
        change.account.user = None
        return True

    def write_users(self, changes: list[Change]) -> None:
        for change in changes:
            change.apply()
        self.create([change for change in changes if change.is_new])
        known = [change for change in changes if change.changed and not change.is_new]
        update_users([(change.user, change.changed) for change in known], self.using)
        for change in changes:
            change.account.user = change.user

    def create(self, changes: list[Change]) -> None:
        if self.model._meta.parents or not connections[self.using].features.can_return_rows_from_bulk_insert:
            for change in changes:
                change.user.save(force_insert=True, using=self.using)
        else:
            self.send(pre_save, changes)
            self.users.bulk_create([change.user for change in changes])
            self.send(post_save, changes, created=True)

    def send(self, signal: ModelSignal, changes: list[Change], **extra: bool) -> None:
        for change in changes:
            send(signal, change.user, None, self.using, **extra)

    def write_accounts(self, changes: list[Change]) -> None:
        known = [change.account for change in changes if not change.account._state.adding]
        # A new account that another transaction has inserted is a conflict, and never updated.
        self.accounts.bulk_create([change.account for change in changes if change.account._state.adding])
        # Known accounts exist and are locked, so all of these rows are updated; bulk_update takes ten times
        # as long. MySQL cannot name the key. It finds the same row: no other account has the user.
        can_name_key = connections[self.using].features.supports_update_conflicts_with_target
        self.accounts.bulk_create(
            known,
            update_conflicts=True,
            unique_fields=["sub"] if can_name_key else None,
            update_fields=[
                "user",
                "version",
                "not_before",
                "is_active",
                "is_deleted",
                "mapping",
                "mapped_at",
            ],
        )
