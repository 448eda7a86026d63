"""Adds to the audit log, and forgets what is older than the operator keeps it.

In: what happened. Out: one row, and a line in the log. Called wherever the portal decides something
about people; takes names and reasons, never tokens.
"""

from __future__ import annotations

import datetime
import logging
import uuid

from django.utils import timezone

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
    """Write one event down."""
    from .models import AuditEvent, Kind

    event = AuditEvent(
        kind=Kind(kind), sub=sub, actor=actor, site=site[:32], sid=sid[:22], ip=ip, detail=detail[:200]
    )
    event.save()
    logger.info("%s sub=%s actor=%s site=%s %s", kind, sub, actor, site, event.detail.replace("\n", " "))


def prune(days: int, limit: int) -> int:
    """Forget the oldest events (at most ``limit``) that are older than this; 0 days keeps all of them."""
    from .models import AuditEvent

    if days <= 0:
        return 0
    old = AuditEvent.objects.filter(at__lt=timezone.now() - datetime.timedelta(days=days))
    oldest = list(old.order_by("at").values_list("pk", flat=True)[:limit])
    return AuditEvent.objects.filter(pk__in=oldest).delete()[0]
