"""Versions: the order in which changes to users become visible to sites.

The user model and its queryset allocate versions for their own writes. The registry calls
``assign_new_versions`` for changes outside of the user row (roles, access to a site).

A number from a database sequence would become visible when its transaction commits, which may be after
a higher number. A reader of "everything after 17" would then miss 16 forever. So the counter is a row,
and allocating from it locks the row until the transaction ends. Allocate before you lock users, so that
all transactions take their locks in the same order.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, models, router, transaction
from django.db.models import Case, F, Max, Value, When
from django.utils.translation import gettext_lazy as _

from portal.batches import batches

from .announcements import notify_after_commit


class VersionCounter(models.Model):
    """The last version that was allocated. The table has one row."""

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.value)


class Tombstone(models.Model):
    """A user who was deleted, and the version of the deletion."""

    sub = models.UUIDField(_("subject"), primary_key=True)
    version = models.BigIntegerField(_("version"), unique=True)

    class Meta:
        verbose_name = _("deleted person")
        verbose_name_plural = _("deleted people")

    def __str__(self) -> str:
        return str(self.sub)


def allocate(count: int, using: str | None = None) -> range:
    """Allocate consecutive versions, and lock the counter until the transaction ends.

    Raises ``TransactionManagementError`` outside of a transaction: the versions would be visible before
    the change.
    """
    using = using or router.db_for_write(VersionCounter)
    if not connections[using].in_atomic_block:
        raise transaction.TransactionManagementError("A version can only be allocated in a transaction.")
    rows = VersionCounter.objects.using(using).filter(pk=VersionCounter.ROW)
    if not rows.update(value=F("value") + count):
        create_counter(using)
        rows.update(value=F("value") + count)
    last = rows.values_list("value", flat=True).get()
    return range(last - count + 1, last + 1)


def next_version(using: str | None = None) -> int:
    """Allocate one version."""
    return allocate(1, using)[0]


def lock(using: str) -> None:
    """Lock the counter: wait for all transactions that change what sites see, and block new ones."""
    allocate(0, using)


def create_counter(using: str) -> None:
    """Create the counter's row, with the newest version in the database."""
    newest = [
        model._base_manager.using(using).aggregate(newest=Max("version"))["newest"] or 0
        for model in (get_user_model(), Tombstone)
    ]
    VersionCounter.objects.using(using).get_or_create(pk=VersionCounter.ROW, defaults={"value": max(newest)})


def head() -> int:
    """Return the newest version that is visible."""
    row = VersionCounter.objects.filter(pk=VersionCounter.ROW).values_list("value", flat=True)
    return row.first() or 0


def assign_new_versions(subs: Iterable[uuid.UUID]) -> int:
    """Give users new versions, because what a site sees of them changed outside of their rows.

    Returns how many of them exist. Sends ``users_changed`` after the commit.
    """
    model: Any = get_user_model()
    using = router.db_for_write(model)
    wanted = set(subs)
    if not wanted:
        return 0
    with transaction.atomic(using=using):
        lock(using)
        rows = model._base_manager.using(using)
        found: list[uuid.UUID] = []
        for batch in batches(wanted):
            found += rows.filter(pk__in=batch).values_list("pk", flat=True)
        for batch, version in version_batches(found, using):
            rows.filter(pk__in=batch).update(version=version)
        notify_after_commit(using, changed=found)
    return len(found)


def version_batches(subs: list[uuid.UUID], using: str) -> Iterator[tuple[list[uuid.UUID], Case]]:
    """Allocate a version for each user. Yields batches, each with the expression for its versions."""
    if not subs:
        return
    allocated = iter(allocate(len(subs), using))
    for batch in batches(subs):
        whens = [When(pk=sub, then=Value(next(allocated))) for sub in batch]
        yield batch, Case(*whens, output_field=models.BigIntegerField())


def add_tombstone(sub: uuid.UUID, using: str) -> None:
    """Record that a user is being deleted."""
    version = next_version(using)
    Tombstone.objects.using(using).update_or_create(sub=sub, defaults={"version": version})
