"""Versions: the order in which changes of users become visible.

In: a transaction that is about to change what sites can see. Out: numbers that grow in the order of
commits. Called by the user model and its queryset for their own writes, and by the registry through
``bump``, where something else than the user row changed (roles, who may enter a site).

A number drawn from a sequence becomes visible when its transaction commits, and that may be after a
later number; whoever reads "everything after 17" then skips 16 for ever. So the counter is a row, and
drawing locks it until the transaction ends. Draw before locking users, so that all wait in one order.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, models, router, transaction
from django.db.models import Case, F, Max, Value, When
from django.utils.translation import gettext_lazy as _

from .signals import announce

#: Users written by one statement.
BATCH = 500


class VersionCounter(models.Model):
    """The last version that was drawn: the table's only row."""

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.value)


class Tombstone(models.Model):
    """A user who was deleted, and the version at which."""

    sub = models.UUIDField(_("subject"), primary_key=True)
    version = models.BigIntegerField(_("version"), unique=True)

    class Meta:
        verbose_name = _("deleted person")
        verbose_name_plural = _("deleted people")

    def __str__(self) -> str:
        return str(self.sub)


def lock(using: str | None = None) -> None:
    """Wait until no other transaction is about to change what sites see, and keep others waiting."""
    draw(0, using=using)


def draw(count: int = 1, *, using: str | None = None) -> int:
    """Take ``count`` versions and return the last one; they are ``draw(n) - n + 1`` and up.

    Holds the counter until the surrounding transaction ends; raises ``TransactionManagementError``
    where there is none, because the number would be visible before the change.
    """
    using = using or router.db_for_write(VersionCounter)
    if not connections[using].in_atomic_block:
        raise transaction.TransactionManagementError("A version can only be drawn in a transaction.")
    rows = VersionCounter.objects.using(using).filter(pk=VersionCounter.ROW)
    if not rows.update(value=F("value") + count):
        _create_counter(using)
        rows.update(value=F("value") + count)
    return rows.values_list("value", flat=True).get()


def _create_counter(using: str) -> None:
    newest = [
        model._base_manager.using(using).aggregate(newest=Max("version"))["newest"] or 0
        for model in (get_user_model(), Tombstone)
    ]
    VersionCounter.objects.using(using).get_or_create(pk=VersionCounter.ROW, defaults={"value": max(newest)})


def head() -> int:
    """The newest version that is visible."""
    row = VersionCounter.objects.filter(pk=VersionCounter.ROW).values_list("value", flat=True)
    return row.first() or 0


def bump(subs: Iterable[uuid.UUID]) -> int:
    """Give users a new version each, because a site sees something else of them now.

    Returns how many exist. Sends ``users_changed`` on commit.
    """
    model: Any = get_user_model()
    using = router.db_for_write(model)
    wanted = list(set(subs))
    if not wanted:
        return 0
    with transaction.atomic(using=using):
        lock(using)
        rows = model._base_manager.using(using)
        found: list[uuid.UUID] = []
        for start in range(0, len(wanted), BATCH):
            found += rows.filter(pk__in=wanted[start : start + BATCH]).values_list("pk", flat=True)
        for batch, version in numbered(found, using):
            rows.filter(pk__in=batch).update(version=version)
        announce(using, changed=found)
    return len(found)


def numbered(subs: Sequence[uuid.UUID], using: str) -> Iterable[tuple[Sequence[uuid.UUID], Case]]:
    """Draw a version for each user; batches of them, each with the expression that hands them out."""
    if not subs:
        return
    first = draw(len(subs), using=using) - len(subs) + 1
    for start in range(0, len(subs), BATCH):
        batch = subs[start : start + BATCH]
        whens = [When(pk=sub, then=Value(first + start + offset)) for offset, sub in enumerate(batch)]
        yield batch, Case(*whens, output_field=models.BigIntegerField())


def bury(sub: uuid.UUID, using: str) -> None:
    """Leave a tombstone for a user who is being deleted."""
    version = draw(using=using)
    Tombstone.objects.using(using).update_or_create(sub=sub, defaults={"version": version})
