"""Keeps a user's row in step with the rows around it, and the audit log in step with the user."""

from __future__ import annotations

import uuid
from typing import Any

from allauth.account.models import EmailAddress
from django.db import models
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver

from portal.audit import services as audit

from . import versions
from .announcements import account_changed, notify_after_commit
from .models import User


@receiver(pre_save, sender=User, dispatch_uid="accounts.raw_save")
def set_version_of_raw_user(instance: User, raw: bool, using: str, **_: Any) -> None:
    """``loaddata`` bypasses ``User.save``, and the version in its file means nothing here."""
    if raw:
        instance.version = versions.next_version(using)


@receiver(post_save, sender=User, dispatch_uid="accounts.raw_saved")
def notify_of_raw_user(instance: User, raw: bool, using: str, **_: Any) -> None:
    if raw:
        ended = [] if instance.is_active else [instance.pk]
        notify_after_commit(using, changed=[instance.pk], ended=ended)


@receiver(pre_delete, sender=User, dispatch_uid="accounts.delete")
def leave_tombstone(instance: User, using: str, **_: Any) -> None:
    versions.add_tombstone(instance.pk, using)
    notify_after_commit(using, deleted=[instance.pk])


@receiver([post_save, post_delete], sender=EmailAddress, dispatch_uid="accounts.address_changed")
def refresh_email_verified(instance: EmailAddress, using: str, origin: Any = None, **_: Any) -> None:
    source = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    if source is not User:  # else the user is being deleted, and the addresses with it
        User.objects.using(using).refresh_email_verified(instance.user_id)


@receiver(account_changed, dispatch_uid="accounts.audit_change")
def record_change(sub: uuid.UUID, after: dict[str, Any], **_: Any) -> None:
    actor = audit.current_actor()
    if "is_active" in after:
        audit.record("activated" if after["is_active"] else "deactivated", sub=sub, actor=actor)
    if "email" in after:
        # The address itself is personal, and the log is kept for a year.
        audit.record("email_changed", sub=sub, actor=actor)
    names = {"is_staff": "staff", "is_superuser": "superuser"}
    rights = [f"{names[each]}: {'yes' if after[each] else 'no'}" for each in names if each in after]
    if rights:
        audit.record("rights_changed", sub=sub, actor=actor, detail=", ".join(rights))


@receiver(post_delete, sender=User, dispatch_uid="accounts.audit_deletion")
def record_deletion(instance: User, **_: Any) -> None:
    audit.record("deleted", sub=instance.pk, actor=audit.current_actor())
