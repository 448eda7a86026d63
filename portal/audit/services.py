"""Adds events to the audit log, and deletes the oldest ones.

Changes of users, roles and sites are recorded by receivers of signals, in the transaction of the change.
Not recorded, because Django sends no signals for them: SQL, users written by ``bulk_create`` or
``loaddata``, and sites and grants written by ``QuerySet.update``, ``bulk_update`` or ``bulk_create``. The
portal's own code does none of these.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from typing import Any

from allauth.core import context
from django.utils import timezone

from .models import AuditEvent, Kind

logger = logging.getLogger("portal.audit")


def record(
    kind: str,
    *,
    sub: uuid.UUID | None = None,
    actor: uuid.UUID | None = None,
    site: str = "",
    sid: str = "",
    ip: str | None = None,
    detail: str = "",
) -> None:
    """Add an event. Pass names and reasons, never tokens."""
    event = AuditEvent(
        kind=Kind(kind), sub=sub, actor=actor, site=site[:32], sid=sid[:22], ip=ip, detail=detail[:200]
    )
    event.save()
    logger.info("%s sub=%s actor=%s site=%s %s", kind, sub, actor, site, event.detail.replace("\n", " "))


def current_actor() -> Any:
    """Return the subject of the user who sent the current request, or None."""
    user = getattr(context.request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None


def prune(days: int, limit: int) -> int:
    """Delete up to ``limit`` events that are older than ``days``, and return how many. 0 days: none."""
    if days <= 0:
        return 0
    old = AuditEvent.objects.filter(at__lt=timezone.now() - datetime.timedelta(days=days))
    oldest = list(old.order_by("at").values_list("pk", flat=True)[:limit])
    return AuditEvent.objects.filter(pk__in=oldest).delete()[0]
