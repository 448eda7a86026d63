"""Ends sessions: first in the database, then in Redis.

If Redis cannot answer, the row says what is left to do, and ``following.catch_up`` does it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from allauth.core import context
from django.db import router, transaction
from django.utils import timezone

from portal.audit import services as audit
from portal.batches import batches
from portal.registry.models import Site
from sso_common import store
from sso_common.keys import PORTAL

from . import records
from .models import EndReason, Session, SessionQuerySet
from .visitors import client_ip


def end_session(sid: str, reason: EndReason) -> None:
    """End one session everywhere, with the next request.

    If this raises ``StoreUnavailable``, the session ends as soon as Redis answers again.
    """
    rows = Session.objects.filter(sid=sid)
    rows.end(reason)
    delete_ended(rows)


def end_sessions(
    subs: Collection[uuid.UUID], except_sid: str | None = None, reason: EndReason = EndReason.REVOKED
) -> None:
    """End all sessions of users, except for one. Raises ``StoreUnavailable``, as ``end_session`` does."""
    for batch in batches(subs):
        Session.objects.live().filter(user__in=batch).exclude(sid=except_sid).end(reason)
    for batch in batches(subs):
        delete_ended(Session.objects.filter(user__in=batch).ended_but_not_gone())
        # The index also has sessions that the database has lost, by a restored backup for example.
        indexed = store.run(records.indexed_sids(batch))
        strays = [(sid, sub) for sub, sids in indexed.items() for sid in sids if sid != except_sid]
        if strays:
            store.run(records.delete_records(strays, site_names(), notify=False))


def delete_ended(rows: SessionQuerySet, *, notify: bool = True) -> int:
    """Delete the records of ended sessions in Redis. Returns how many sessions these are."""
    sites = site_names()
    sessions = list(rows.values_list("sid", "user_id"))
    for batch in batches(sessions):
        store.run(records.delete_records(batch, sites, notify=notify))
        Session.objects.filter(sid__in=[sid for sid, _ in batch]).update(is_gone=True)
    return len(sessions)


def reap() -> int:
    """Delete the records of all ended sessions again, in case an older Redis has brought them back."""
    ended = Session.objects.filter(ended_at__isnull=False, expires__gt=timezone.now())
    return delete_ended(ended, notify=False)


def end_rows(sids: Iterable[str], reason: EndReason) -> int:
    """Mark sessions as ended whose records are gone, or are being deleted. Returns how many were live."""
    return Session.objects.filter(sid__in=list(sids)).end(reason)


def sign_out(sid: str, sub: uuid.UUID) -> None:
    """End a session's row on behalf of its user, and add this to the audit log, once."""
    ip = client_ip(context.request) if context.request is not None else None
    with transaction.atomic(using=router.db_for_write(Session)):
        if end_rows([sid], EndReason.SIGNED_OUT):
            audit.record("signed_out", sub=sub, actor=sub, sid=sid, ip=ip)


def site_names() -> list[str]:
    """Return the names under which sites keep data in a session."""
    return [PORTAL, *Site.objects.values_list("name", flat=True)]
