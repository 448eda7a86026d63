"""Brings Redis in step with the database, and learns which sessions were signed out at the sites.

What Redis has to do because of a change in the database is done at once if Redis answers. Otherwise,
``catch_up`` does it later. It works from the database, so an outage, a crash or a failover loses nothing.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from typing import Final

from django.conf import settings
from django.utils import timezone

from portal.accounts import versions
from portal.audit import services as audit
from portal.batches import batches
from portal.registry import acl
from sso_common import store
from sso_common.exceptions import StoreUnavailable
from sso_common.keys import PORTAL
from sso_common.store import administration

from .ending import delete_ended, end_rows, reap, site_names
from .models import EndReason, Progress, Session
from .records import times_to_live
from .resigning import resign, resign_all
from .stream import SignOut, read_sign_outs

logger = logging.getLogger("portal.sessions")

#: Days for which a session is kept after it has expired.
KEPT_DAYS: Final = 90
#: Rows that one call of ``catch_up`` deletes, or looks up in Redis: a request waits for it.
PRUNED_AT_ONCE: Final = 500


def catch_up() -> None:
    """Bring Redis in step with the database.

    Called after sign-ins and commits, and whenever a site requests the feed. If there is nothing to do,
    it takes a few short queries and two round trips. Raises ``StoreUnavailable``; the next call continues
    where this one stopped.
    """
    follow_sign_outs()
    follow_servers()
    delete_ended(Session.objects.ended_but_not_gone())
    follow_users()
    follow_rules()
    prune_daily()


def try_to_catch_up() -> None:
    """``catch_up`` for callers that must not fail if Redis does not answer."""
    try:
        catch_up()
    except StoreUnavailable as error:
        logger.warning("Sessions are behind until Redis answers: %s", error)


def prune(days: int = KEPT_DAYS, limit: int | None = None) -> int:
    """Delete rows of sessions (at most ``limit``) that expired more than ``days`` ago. Returns how many.

    An ended session is kept until it expires: only its row keeps it ended after a failover.
    """
    old = Session.objects.filter(expires__lt=timezone.now() - datetime.timedelta(days=days))
    sids = old.order_by("expires").values_list("sid", flat=True)[:limit]
    return sum(Session.objects.filter(sid__in=batch).delete()[0] for batch in batches(sids))


def end_unused(limit: int) -> bool:
    """End the rows of sessions whose idle timeout has passed. Returns whether that were all of them.

    Their records are gone, but what sites have stored in them would wait until they expire. ``delete_ended``
    deletes it. Each call looks at ``limit`` live sessions, and the next one continues.
    """
    last = Progress.read("unused")
    rows = Session.objects.live().filter(sid__gt=last).order_by("sid")
    sids = list(rows.values_list("sid", flat=True)[:limit])
    left = store.run(times_to_live(sids)) if sids else {}
    end_rows(set(sids) - left.keys(), EndReason.EXPIRED)
    is_complete = len(sids) < limit
    Progress.write("unused", "" if is_complete else sids[-1])
    return is_complete


def prune_daily() -> None:
    """Delete old sessions and audit events, and end unused sessions. The next calls do what is left over."""
    today = timezone.now().date().isoformat()
    limit = PRUNED_AT_ONCE
    if Progress.read("pruned") == today:
        return
    is_pruned = prune(limit=limit) < limit and audit.prune(settings.SSO_AUDIT_DAYS, limit=limit) < limit
    if is_pruned and end_unused(limit):
        Progress.write("pruned", today)


def follow_sign_outs() -> None:
    """End the rows of sessions that sites report in the stream."""
    while True:
        last_id = Progress.read("events", "0-0")
        found, newest = store.run(read_sign_outs(last_id))
        if newest == last_id:
            return
        sites = site_names() if found else []
        for each in found:
            if each.site != PORTAL and end_rows([each.sid], EndReason.SIGNED_OUT):
                record_sign_out_at_site(each, sites)
        Progress.write("events", newest)


def record_sign_out_at_site(sign_out: SignOut, sites: list[str]) -> None:
    """Add a sign-out at a site to the audit log. Which site it was is only a claim."""
    row = Session.objects.get(sid=sign_out.sid)
    site = sign_out.site if sign_out.site in sites else ""
    detail = "according to the event" if site else "the event names no registered site"
    audit.record("signed_out", sub=row.user_id, sid=row.sid, site=site, detail=detail)


def follow_servers() -> None:
    """Repair what a server may have lost that was restarted or replaced, or has joined."""
    runs = administration.run_ids()
    if Progress.read("server") != runs:
        restore_site_users()
        reap()
        # Another server counts its events from the start.
        Progress.write("events", "0-0")
        Progress.write("server", runs)


def restore_site_users() -> None:
    """Set the sites' Redis users again, in case a server does not have them."""
    try:
        acl.set_all_site_users()
    except StoreUnavailable as error:
        # The portal's own user may lack the permission, if the operator manages the sites' users.
        logger.warning("The sites' Redis users were not set: %s", error)


def follow_users() -> None:
    """Re-sign the sessions of users who have changed since the last time."""
    done = int(Progress.read("version", "0"))
    head = versions.head()
    if head > done:
        resign(Session.objects.live().filter(user__version__gt=done).subjects())
        Progress.write("version", str(head))


def mark_rules_changed() -> None:
    """Make ``catch_up`` re-sign all sessions. Called in the transaction that changes sites."""
    Progress.write("rules", str(uuid.uuid4()))


def follow_rules() -> None:
    """Re-sign all sessions if sites have changed since the last time."""
    rules = Progress.read("rules")
    if rules != Progress.read("rules signed"):
        resign_all()
        Progress.write("rules signed", rules)
