"""What others are told about users, and what keeps a user's row in step with the rows around it.

In: Django's model signals. Out: ``users_changed`` and ``sessions_must_end``, after the commit of the
transaction that gave cause, and ``account_changed``, within it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.db import models, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.dispatch import Signal

#: Arguments: ``subs``, all users with a new version, and ``deleted``, those among them who are gone.
users_changed = Signal()

#: Argument: ``subs``.
sessions_must_end = Signal()

#: Arguments: ``sub``, and ``before`` and ``after``: the fields of ``models.TOLD`` that have changed.
account_changed = Signal()


def announce(
    using: str,
    *,
    changed: Iterable[uuid.UUID] = (),
    deleted: Iterable[uuid.UUID] = (),
    ended: Iterable[uuid.UUID] = (),
) -> None:
    """Send the signals once the transaction is committed.

    A receiver that fails is logged and keeps no other from running: the change is made already.
    """
    gone = frozenset(deleted)
    if subs := frozenset(changed) | gone:
        transaction.on_commit(partial(_send_changed, subs, gone), using=using, robust=True)
    if ending := frozenset(ended) | gone:
        transaction.on_commit(partial(_send_ended, ending), using=using, robust=True)


def _send_changed(subs: frozenset[uuid.UUID], deleted: frozenset[uuid.UUID]) -> None:
    users_changed.send_robust(sender=None, subs=subs, deleted=deleted)


def _send_ended(subs: frozenset[uuid.UUID]) -> None:
    sessions_must_end.send_robust(sender=None, subs=subs)


def tell(sub: uuid.UUID, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Send ``account_changed`` where these fields differ, in the transaction that changes them."""
    if changed := {name: value for name, value in after.items() if before[name] != value}:
        account_changed.send(
            sender=None, sub=sub, before={name: before[name] for name in changed}, after=changed
        )


def connect() -> None:
    """Called once, when the app is ready."""
    from allauth.account.models import EmailAddress

    from .models import User

    pre_save.connect(_before_raw_save, sender=User, dispatch_uid="accounts.raw_save")
    post_save.connect(_after_raw_save, sender=User, dispatch_uid="accounts.raw_saved")
    pre_delete.connect(_before_delete, sender=User, dispatch_uid="accounts.delete")
    post_save.connect(_email_written, sender=EmailAddress, dispatch_uid="accounts.email_saved")
    post_delete.connect(_email_written, sender=EmailAddress, dispatch_uid="accounts.email_deleted")


def _before_raw_save(instance: Any, raw: bool, using: str, **_: Any) -> None:
    """``loaddata`` goes past ``save``; the version in its file says nothing here."""
    if raw:
        from . import versions

        instance.version = versions.draw(using=using)


def _after_raw_save(instance: Any, raw: bool, using: str, **_: Any) -> None:
    if raw:
        announce(using, changed=[instance.pk], ended=[] if instance.is_active else [instance.pk])


def _before_delete(instance: Any, using: str, **_: Any) -> None:
    from . import versions

    versions.bury(instance.pk, using)
    announce(using, deleted=[instance.pk])


def _email_written(instance: Any, using: str, origin: Any = None, **_: Any) -> None:
    from .models import User

    source = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    if source is User:
        return  # the user is being deleted, and the addresses with them
    User.objects.using(using).refresh_email_verified(instance.user_id)
