"""What only the portal says to Redis: writing identity records, and the index of a user's sessions.

In: names and signed bytes. Out: bytes. Every function raises ``StoreUnavailable`` where Redis cannot
answer. Key names and the client are those of ``sso_common.store``; the ACL lets no site do any of this.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sso_common import conf, store
from sso_common.tokens import is_sid

# Replaces a record only while it is the one that was read: neither a session that has ended meanwhile
# nor a newer record is ever overwritten.
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'XX', 'KEEPTTL')
return 1
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A site (or the portal) reported that a session was signed out."""

    sid: str
    site: str


def write_record(sub: uuid.UUID, sid: str, record: bytes, idle: int, exp: int) -> None:
    """Store a new session's record for ``idle`` seconds and put it in the user's index."""
    namespace = conf.namespace()
    index = store.user_key(namespace, sub)
    with store.answering():
        pipeline = store.client().pipeline(transaction=False)
        # The index first: whoever ends all of a user's sessions must find every record there is.
        pipeline.zremrangebyscore(index, "-inf", int(time.time()))
        pipeline.zadd(index, {sid: exp})
        pipeline.expireat(index, exp, nx=True)
        pipeline.expireat(index, exp, gt=True)
        pipeline.execute()  # in a cluster, another node's matter
        pipeline.set(store.identity_key(namespace, sid), record, ex=idle, nx=True)
        pipeline.execute()


def delete_records(pairs: Iterable[tuple[str, uuid.UUID]], sites: Sequence[str], *, announce: bool) -> None:
    """End sessions (sid, sub): records, index entries and what each site kept in them."""
    namespace = conf.namespace()
    with store.answering():
        pipeline = store.client().pipeline(transaction=False)
        for sid, sub in pairs:
            pipeline.unlink(store.identity_key(namespace, sid))
            for site in sites:
                pipeline.unlink(store.site_key(namespace, sid, site))
            pipeline.zrem(store.user_key(namespace, sub), sid)
            if announce:
                _add_event(pipeline, "signed_out", sid=sid, sub=str(sub))
        commands = [arguments[0] for arguments, _ in pipeline.command_stack]
        answers = pipeline.execute(raise_on_error=False)
        for command, answer in zip(commands, answers, strict=True):
            # A stream that takes no more events must not keep a session alive.
            if isinstance(answer, Exception) and command != "XADD":
                raise answer


def forget_index_entry(sid: str, sub: uuid.UUID) -> None:
    """Take a session that has ended out of its user's index."""
    with store.answering():
        store.client().zrem(store.user_key(conf.namespace(), sub), sid)


def indexed_sids(subs: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """The sessions in each user's index; some of them may have ended."""
    subs = list(subs)
    namespace = conf.namespace()
    with store.answering():
        pipeline = store.client().pipeline(transaction=False)
        for sub in subs:
            pipeline.zrange(store.user_key(namespace, sub), 0, -1)
        answers = pipeline.execute()
    return {sub: [sid.decode("ascii") for sid in sids] for sub, sids in zip(subs, answers, strict=True)}


def read_records(sids: Sequence[str]) -> dict[str, bytes]:
    """The records that exist, by sid."""
    namespace = conf.namespace()
    with store.answering():
        pipeline = store.client().pipeline(transaction=False)
        for sid in sids:
            pipeline.get(store.identity_key(namespace, sid))
        answers = pipeline.execute()
    return {sid: record for sid, record in zip(sids, answers, strict=True) if record is not None}


def replace_records(changes: Mapping[str, tuple[bytes, bytes]]) -> set[str]:
    """Replace records (sid -> old, new) without touching their time to live.

    Returns the sids whose record was not the old one any more; nothing was written for those.
    """
    namespace = conf.namespace()
    with store.answering():
        pipeline = store.client().pipeline(transaction=False)
        for sid, (old, new) in changes.items():
            pipeline.eval(_REPLACE, 1, store.identity_key(namespace, sid), old, new)
        answers = pipeline.execute()
    return {sid for sid, replaced in zip(changes, answers, strict=True) if not replaced}


def times_to_live(sids: Sequence[str]) -> dict[str, int]:
    """Milliseconds until each session ends by the idle timeout; those that have ended are left out."""
    namespace = conf.namespace()
    with store.answering():
        pipeline = store.client().pipeline(transaction=False)
        for sid in sids:
            pipeline.pttl(store.identity_key(namespace, sid))
        answers = pipeline.execute()
    return {sid: left for sid, left in zip(sids, answers, strict=True) if left > 0}


def read_ended(last_id: str, count: int = 1000) -> tuple[list[Ended], str]:
    """The sign-outs in the stream after an event's id, and the id of the last event read.

    Sites write them, and one of them may have been broken into: what is no sid is left out here.
    """
    with store.answering():
        entries: Any = store.client().xrange(
            store.events_key(conf.namespace()), min=f"({last_id}", max="+", count=count
        )
    ended = [
        Ended(
            sid=values[b"sid"].decode("ascii"),
            site=values.get(b"site", b"").decode("ascii", "replace").replace("\x00", ""),
        )
        for _, values in entries
        if values.get(b"type") == b"signed_out" and is_sid(values.get(b"sid", b"").decode("ascii", "replace"))
    ]
    return ended, entries[-1][0].decode("ascii") if entries else last_id


def _add_event(pipeline: Any, kind: str, **values: str) -> None:
    dsn = conf.dsn()
    pipeline.xadd(
        store.events_key(dsn.namespace),
        {"type": kind, "site": dsn.site, **values},
        maxlen=store.EVENTS_KEPT,
        approximate=True,
    )
