"""Adds to the audit log.

In: what happened. Out: one row, and a line in the log. Called wherever the portal decides something
about people; takes names and reasons, never tokens.
"""

from __future__ import annotations

import logging
import uuid

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
