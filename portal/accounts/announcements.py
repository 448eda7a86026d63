"""The signals of the accounts app. Models and querysets send them; other apps receive them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.dispatch import Signal

#: Sent after the commit. Arguments: ``subs``, all users with a new version, and ``deleted``, those of
#: them who were deleted.
users_changed = Signal()

#: Sent after the commit. Argument: ``subs``, users whose sessions must all end.
sessions_must_end = Signal()

#: Sent in the transaction. Arguments: ``sub``, and ``before`` and ``after``: those of the fields in
#: ``fields.AUDITED`` that have changed.
account_changed = Signal()


def notify_after_commit(
    using: str,
    *,
    changed: Iterable[uuid.UUID] = (),
    deleted: Iterable[uuid.UUID] = (),
    ended: Iterable[uuid.UUID] = (),
) -> None:
    """Send ``users_changed`` and ``sessions_must_end`` once the transaction is committed.

    A receiver that fails is logged and does not stop the others: the change is already made.
    """
    gone = frozenset(deleted)
    if subs := frozenset(changed) | gone:
        transaction.on_commit(
            lambda: users_changed.send_robust(sender=None, subs=subs, deleted=gone), using=using
        )
    if ending := frozenset(ended) | gone:
        transaction.on_commit(lambda: sessions_must_end.send_robust(sender=None, subs=ending), using=using)


def send_account_changed(sub: uuid.UUID, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Send ``account_changed`` if any of these fields differ."""
    if changed := {name: value for name, value in after.items() if before[name] != value}:
        previous = {name: before[name] for name in changed}
        account_changed.send(sender=None, sub=sub, before=previous, after=changed)
