"""Writes snapshots to this site's users.

``sso_sync`` calls it with pages of the feed, ``resolve_user`` with the snapshot of an identity
record.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connections, router, transaction
from django.db.models.deletion import ProtectedError, RestrictedError
from django.db.models.signals import ModelSignal, post_save, pre_save

from sso_common import conf
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot

from .change import Change, plan_change
from .fields import has_field
from .groups import write_groups
from .mapping import current_mapping, is_mapped_anew, stored_mappings
from .unique import Conflict, UniqueField, unique_text_fields

logger = logging.getLogger("sso_common.users")

#: "newer" applies snapshots that are newer than the account, or that were applied with another mapping.
#: "mapping" applies these too, but to accounts only that exist, and without a pause. "repair" also applies
#: the same version, to undo local changes. "force" applies any, after the portal was restored from a backup.
Mode = Literal["newer", "mapping", "repair", "force"]

#: What a snapshot that cannot be stored raises. It must not hold up other snapshots.
ROW_ERRORS: Final = (IntegrityError, DataError, ValidationError, ValueError, TypeError)


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


def upsert_page(page: list[UserSnapshot], mode: Mode, attempts: int = 3) -> UpsertResult:
    """Write a page at once or, if that fails, one by one."""
    using = router.db_for_write(Account)
    try:
        with transaction.atomic(using=using):
            return Upsert(using, mode).run(page)
    except ROW_ERRORS as error:
        if len(page) > 1:
            return sum((upsert_page([snapshot], mode) for snapshot in page), UpsertResult())
        # A sign-up form of this site may just have taken the username: the next attempt sees it.
        if attempts > 1:
            return upsert_page(page, mode, attempts - 1)
        return UpsertResult(failed=(Failure(page[0].sub, error),))


class Upsert:
    """Writes one page of snapshots, in a transaction and under the lock of ``FeedCursor``."""

    def __init__(self, using: str, mode: Mode) -> None:
        self.using = using
        self.mode = mode
        self.model = get_user_model()
        self.users = self.model._base_manager.using(using)
        self.accounts = Account._default_manager.using(using)
        self.mapper = conf.user_mapper()()

    def run(self, page: list[UserSnapshot]) -> UpsertResult:
        FeedCursor.lock()
        changes = self.plan(page)
        with_user = [change for change in changes if not self.delete_user(change)]
        conflicts = self.make_unique(with_user)
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

    def plan(self, page: list[UserSnapshot]) -> list[Change]:
        accounts = self.accounts.select_related("user").in_bulk([snapshot.sub for snapshot in page])
        due = [snapshot for snapshot in page if self.is_due(snapshot, accounts.get(snapshot.sub))]
        if not due:
            return []
        former = stored_mappings((each.mapping for each in accounts.values() if each.mapping), self.using)
        current = current_mapping()
        return [
            plan_change(snapshot, accounts.get(snapshot.sub), self.mapper, current, former)
            for snapshot in due
        ]

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

    def make_unique(self, changes: list[Change]) -> list[Conflict]:
        conflicts: list[Conflict] = []
        for name in sorted(unique_text_fields(self.model)):
            if mapped := [change for change in changes if name in change.values]:
                conflicts += UniqueField(self.model, name, self.mapper, self.using).make_unique(mapped)
        return conflicts

    def write_users(self, changes: list[Change]) -> None:
        for change in changes:
            change.apply()
        self.create([change for change in changes if change.is_new])
        self.update([change for change in changes if change.changed and not change.is_new])
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

    def update(self, changes: list[Change]) -> None:
        update_users([(change.user, change.changed) for change in changes], self.using)

    def send(self, signal: ModelSignal, changes: list[Change], **extra: bool) -> None:
        for change in changes:
            send(signal, change.user, None, self.using, **extra)

    def write_accounts(self, changes: list[Change]) -> None:
        # One statement for new and existing accounts: bulk_update takes ten times as long.
        self.accounts.bulk_create(
            [change.account for change in changes],
            update_conflicts=True,
            unique_fields=["sub"],
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


def update_users(changes: list[tuple[Any, list[str]]], using: str) -> None:
    """Write the named fields of users in one statement, and do all else that ``Model.save`` does: send
    signals, and set fields with ``auto_now``."""
    for user, names in changes:
        send(pre_save, user, names, using)
    changed = {name for _, names in changes for name in names}
    model = get_user_model()
    if changed:
        automatic = [each for each in model._meta.concrete_fields if getattr(each, "auto_now", False)]
        for user, _ in changes:
            for each in automatic:
                each.pre_save(user, add=False)
        fields = sorted(changed | {each.name for each in automatic})
        model._base_manager.using(using).bulk_update([user for user, _ in changes], fields)
    for user, names in changes:
        send(post_save, user, names, using, created=False)


def send(signal: ModelSignal, user: Any, names: list[str] | None, using: str, **extra: bool) -> None:
    """Send a signal as ``Model.save`` does. ``names``: the fields that are updated; None for a new user."""
    update_fields = None if names is None else frozenset(names)
    signal.send(
        sender=type(user), instance=user, raw=False, using=using, update_fields=update_fields, **extra
    )


def deactivate_accounts(subs: Iterable[uuid.UUID]) -> int:
    """Deactivate the local users of subjects that the feed no longer has.

    Keeps their data, so the next ``sso_sync --full`` can undo a mistake. A receiver of a signal that
    fails is logged, and keeps nobody active. Returns how many were active.
    """
    subs = list(subs)
    try:
        return deactivate(subs, announce=True)
    except Exception:
        if len(subs) > 1:
            return sum(deactivate_accounts([sub]) for sub in subs)
        logger.exception("A receiver of a signal failed for %s, who is deactivated anyway", subs[0])
        return deactivate(subs, announce=False)


def deactivate(subs: list[uuid.UUID], *, announce: bool) -> int:
    """Deactivate accounts and their users, with or without the signals of ``Model.save``."""
    using = router.db_for_write(Account)
    with transaction.atomic(using=using):
        FeedCursor.lock()
        rows = Account._default_manager.using(using).filter(pk__in=subs, is_active=True)
        users = [account.user for account in rows.select_related("user") if account.user is not None]
        names = [name for name in ("is_active", "is_staff") if has_field(get_user_model(), name)]
        if announce:
            for user in users:
                for name in names:
                    setattr(user, name, False)
            update_users([(user, names) for user in users], using)
        elif names:
            stored = get_user_model()._base_manager.using(using).filter(pk__in=[user.pk for user in users])
            stored.update(**dict.fromkeys(names, False))
        return rows.update(is_active=False)
