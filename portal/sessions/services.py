"""A session's life: issued at sign-in, signed anew when its user changes, listed, ended, kept ended.

In: users and sids. Out: records in Redis and rows in the database. What has to happen in Redis because
of a change in the database is done at once where Redis answers, and otherwise by ``catch_up``, which
works from what the database says and so loses nothing to an outage, a crash or a failover.
"""

from __future__ import annotations

import datetime
import logging
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from portal import audit
from portal.accounts import versions
from portal.keys import PORTAL, public_keys
from portal.registry import acl
from portal.registry import services as registry
from portal.registry.models import Site
from sso_common.exceptions import StoreUnavailable, Untrusted
from sso_common.identity import Identity, verify_record
from sso_common.store import administration
from sso_common.tokens import SessionToken, mint_token

from . import store
from .models import EndReason, Progress, Session
from .signing import sign_record

logger = logging.getLogger("portal.sessions")

_CHUNK: Final = 500
#: A record that changes under us is read again; somebody else made it newer each time.
_ATTEMPTS: Final = 5
#: Days for which a session that has expired is remembered.
KEPT_DAYS: Final = 90

# --- issuing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a sign-in came from, for the person's own list."""

    ip: str | None = None
    user_agent: str = ""
    #: The sid in the cookie that this sign-in overwrites.
    replaces: str = ""


def issue(
    user: Any, *, amr: Sequence[str], remember: bool, visitor: Visitor | None = None
) -> tuple[SessionToken, Identity]:
    """Start a session: a row, an identity record and an index entry. Raises ``StoreUnavailable``."""
    visitor = visitor or Visitor()
    idle = settings.SSO_IDLE_REMEMBERED if remember else settings.SSO_IDLE
    absolute = settings.SSO_ABSOLUTE_REMEMBERED if remember else settings.SSO_ABSOLUTE
    now = int(time.time())
    token = mint_token()
    identity = Identity(
        sid=token.sid,
        bind=token.bind,
        # Who has just ended all of their sessions may sign in again within the same second.
        auth_time=max(now, user.not_before),
        iat=now,
        exp=now + absolute,
        idle=min(idle, absolute),
        amr=tuple(amr),
        user=user.to_snapshot(),
        sites=registry.entry_map(user),
    )
    with transaction.atomic():
        Session.objects.create(
            sid=token.sid,
            user=user,
            auth_time=_moment(identity.auth_time),
            expires=_moment(identity.exp),
            idle=identity.idle,
            remember=remember,
            ip=visitor.ip,
            user_agent=visitor.user_agent[:300],
            replaces=visitor.replaces,
        )
        # Should Redis refuse, then nobody is signed in and no row says so.
        store.write_record(user.pk, token.sid, sign_record(identity), identity.idle, identity.exp)
    _look_again(user, identity)
    return token, identity


def _look_again(user: Any, identity: Identity) -> None:
    """A change that was committed while the record was written did not find it in the index."""
    current = get_user_model().objects.filter(pk=user.pk).first()
    if current is None or not current.is_active or current.not_before > identity.auth_time:
        end_session(identity.sid, EndReason.ACCOUNT)
    # A site that closes or opens draws no version.
    elif current.version != identity.user.version or registry.entry_map(current) != identity.sites:
        resign([user.pk])


# --- signing anew ----------------------------------------------------------------------------


def resign(subs: Iterable[uuid.UUID]) -> int:
    """Sign the live records of these users anew, as the users are now. Returns how many.

    Never brings a session back, never touches its time to live, and never replaces a newer record:
    each is replaced only while it is the one that was read. Raises ``StoreUnavailable``.
    """
    return sum(_resign_chunk(chunk) for chunk in _chunks(subs))


def resign_all() -> int:
    """Sign every live record anew: sites came or went, or the signing key changed."""
    return resign(_live().values_list("user_id", flat=True).distinct().order_by("user_id"))


def count_by_kid() -> Counter[str]:
    """How many live records each key has signed. Raises ``StoreUnavailable``."""
    count: Counter[str] = Counter()
    for chunk in _chunks(_live().values_list("sid", flat=True)):
        count.update(record.split(b".")[1].decode("ascii") for record in store.read_records(chunk).values())
    return count


def _resign_chunk(subs: Sequence[uuid.UUID]) -> int:
    pending = store.indexed_sids(subs)
    count = 0
    for _ in range(_ATTEMPTS):
        # The order matters: what is read first is the condition under which the rest is written.
        records = store.read_records([sid for sids in pending.values() for sid in sids])
        users = get_user_model().objects.in_bulk(list(pending))
        maps = registry.entry_maps(users.values())
        changes = {}
        for sub, sids in pending.items():
            if sub not in users:
                continue
            snapshot = users[sub].to_snapshot()
            for sid in sids:
                if sid in records and (identity := _read(records[sid])) is not None:
                    fresh = replace(identity, iat=int(time.time()), user=snapshot, sites=maps[sub])
                    changes[sid] = (records[sid], sign_record(fresh))
        missed = store.replace_records(changes) if changes else set()
        count += len(changes) - len(missed)
        pending = {sub: [sid for sid in sids if sid in missed] for sub, sids in pending.items()}
        pending = {sub: sids for sub, sids in pending.items() if sids}
        if not pending:
            break
    return count


def _read(record: bytes) -> Identity | None:
    try:
        return verify_record(record, public_keys())
    except Untrusted as error:
        # Signed with a key that is retired, or not by us: nobody accepts it, so leave it alone.
        logger.warning("An identity record was not signed anew: %s", error)
        return None


# --- ending ----------------------------------------------------------------------------------


def end_session(sid: str, reason: EndReason) -> None:
    """End one session, everywhere, at the next request. Raises ``StoreUnavailable``; ended it is then,
    too, as soon as Redis answers (``catch_up``)."""
    _mark_ended([sid], reason)
    _delete(Session.objects.filter(sid=sid))


def end_sessions(
    subs: Collection[uuid.UUID], except_sid: str | None = None, reason: EndReason = EndReason.REVOKED
) -> None:
    """End all sessions of these users, but one. Raises ``StoreUnavailable``, as ``end_session`` does."""
    for chunk in _chunks(subs):
        _mark_ended(_live().filter(user__in=chunk).exclude(sid=except_sid), reason)
    # From here on Redis may fail: ``catch_up`` knows from the rows what is left to do.
    for chunk in _chunks(subs):
        _delete(Session.objects.filter(user__in=chunk, ended_at__isnull=False, is_gone=False))
        # The index knows sessions that the database may have lost, to a restored backup for example.
        strays = [
            (sid, sub) for sub, sids in store.indexed_sids(chunk).items() for sid in sids if sid != except_sid
        ]
        if strays:
            store.delete_records(strays, _site_names(), announce=False)


def note_signed_out(sid: str) -> None:
    """The record is being deleted by somebody else (``auth.logout``): close the books on it."""
    row = Session.objects.filter(sid=sid).first()
    _mark_ended([sid], EndReason.SIGNED_OUT)
    if row is not None:
        store.forget_index_entry(sid, row.user_id)


def _mark_ended(sids: Iterable[str] | Any, reason: EndReason) -> int:
    if not hasattr(sids, "filter"):
        sids = Session.objects.filter(sid__in=list(sids))
    return sids.filter(ended_at__isnull=True).update(ended_at=timezone.now(), ended_reason=reason)


def _delete(rows: Any, *, announce: bool = True) -> int:
    """Delete the records of ended sessions in Redis, and note that they are gone."""
    sites = _site_names()
    pairs = list(rows.values_list("sid", "user_id"))
    for chunk in _chunks(pairs):
        store.delete_records(chunk, sites, announce=announce)
        Session.objects.filter(sid__in=[sid for sid, _ in chunk]).update(is_gone=True)
    return len(pairs)


# --- following -------------------------------------------------------------------------------


def catch_up() -> None:
    """Bring Redis to where the database is, and learn which sessions were signed out at the sites.

    Cheap when there is nothing to do: a few short queries and two round trips. Called after sign-ins
    and commits and whenever a site asks the feed. Raises ``StoreUnavailable``; the next call goes on
    where this one stopped.
    """
    _follow_sign_outs()
    _follow_servers()
    _delete(Session.objects.filter(ended_at__isnull=False, is_gone=False))
    _follow_users()
    _follow_rules()
    _prune_daily()


def try_to_catch_up() -> None:
    """``catch_up`` where the caller's own work must not fail with Redis."""
    try:
        catch_up()
    except StoreUnavailable as error:
        logger.warning("Sessions are behind until Redis answers: %s", error)


def reap() -> int:
    """Delete the records of all ended sessions once more, in case an older Redis came back with them."""
    return _delete(Session.objects.filter(ended_at__isnull=False, expires__gt=timezone.now()), announce=False)


def prune(days: int = KEPT_DAYS, limit: int | None = None) -> int:
    """Forget sessions (at most ``limit``) that could not be used for this many days, whatever Redis held."""
    # Not by when they ended: until it expires, only the row keeps a session ended after a failover.
    old = Session.objects.filter(expires__lt=timezone.now() - datetime.timedelta(days=days))
    sids = old.order_by("expires").values_list("sid", flat=True)[:limit]
    return sum(Session.objects.filter(sid__in=chunk).delete()[0] for chunk in _chunks(sids))


def _prune_daily() -> None:
    """A little at a time: somebody waits for the answer. The rest follows with the next calls."""
    today = timezone.now().date().isoformat()
    if _progress("pruned", "") == today:
        return
    if prune(limit=_CHUNK) < _CHUNK and audit.prune(settings.SSO_AUDIT_DAYS, limit=_CHUNK) < _CHUNK:
        _set_progress("pruned", today)


def mark_rules_changed() -> None:
    """Sites came, went or changed: to be called in the transaction that changes them."""
    Progress.objects.update_or_create(name="rules", defaults={"value": str(uuid.uuid4())})


def _follow_sign_outs() -> None:
    """Sites report sign-outs in the stream; after a failover, only the database still knows of them."""
    name = "events"
    while True:
        last_id = _progress(name, "0-0")
        ended, newest = store.read_ended(last_id)
        if newest == last_id:
            return
        sites = _site_names() if ended else []
        for each in ended:
            if each.site != PORTAL and _mark_ended([each.sid], EndReason.SIGNED_OUT):
                row = Session.objects.get(sid=each.sid)
                # Any site can write any name into the stream, another site's too.
                claim = each.site if each.site in sites else ""
                detail = "at this site, says the event" if claim else "the event names no registered site"
                audit.record("signed_out", sub=row.user_id, sid=each.sid, site=claim, detail=detail)
        _set_progress(name, newest)


def _follow_servers() -> None:
    runs = administration.run_ids()
    if _progress("server", "") != runs:
        _restore_users()
        reap()
        # Another server counts its events anew.
        _set_progress("events", "0-0")
        _set_progress("server", runs)


def _restore_users() -> None:
    """A server may have come back, or joined, without the Redis users of the sites."""
    try:
        acl.grant_all()
    except StoreUnavailable as error:
        # Where somebody else manages them, the portal's own user may not.
        logger.warning("The sites' Redis users were not set: %s", error)


def _follow_users() -> None:
    """Sign anew what changed since the last time; versions become visible in their order."""
    done = int(_progress("version", "0"))
    head = versions.head()
    if head <= done:
        return
    changed = _live().filter(user__version__gt=done).values_list("user_id", flat=True)
    resign(changed.distinct().order_by("user_id"))
    _set_progress("version", str(head))


def _follow_rules() -> None:
    rules = _progress("rules", "")
    if rules != _progress("rules signed", ""):
        resign_all()
        _set_progress("rules signed", rules)


def _progress(name: str, default: str) -> str:
    row = Progress.objects.filter(name=name).first()
    return row.value if row else default


def _set_progress(name: str, value: str) -> None:
    Progress.objects.update_or_create(name=name, defaults={"value": value})


# --- listing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that is going on, for its owner's list."""

    row: Session
    #: To the minute: the idle timeout is not extended more often.
    last_used: datetime.datetime
    is_current: bool


def live_sessions(user: Any, current_sid: str | None = None) -> list[LiveSession]:
    """A user's sessions, the current one first. Raises ``StoreUnavailable``."""
    rows = {row.sid: row for row in _live().filter(user=user)}
    left = store.times_to_live(list(rows))
    _mark_ended([sid for sid in rows if sid not in left], EndReason.EXPIRED)
    now = timezone.now()
    sessions = []
    for sid, milliseconds in left.items():
        row = rows[sid]
        last_used = now + datetime.timedelta(milliseconds=milliseconds) - datetime.timedelta(seconds=row.idle)
        sessions.append(LiveSession(row, max(last_used, row.auth_time), sid == current_sid))
    return sorted(sessions, key=lambda each: (each.is_current, each.last_used), reverse=True)


def is_replaced(sid: str) -> bool:
    """Whether the browser that had this session has signed in again since."""
    return Session.objects.filter(replaces=sid).exists()


def is_live(sid: str) -> bool:
    """Whether Redis holds a record of this session. Raises ``StoreUnavailable``."""
    return bool(store.times_to_live([sid]))


# --- helpers ---------------------------------------------------------------------------------


def _live() -> Any:
    return Session.objects.filter(ended_at__isnull=True, expires__gt=timezone.now())


def _site_names() -> list[str]:
    return [PORTAL, *Site.objects.values_list("name", flat=True)]


def _moment(epoch: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch, tz=datetime.UTC)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    items = list(items)
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
