"""Identity records in Redis, and the index of each user's sessions. Only the portal may write them.

Each function is a flow, see ``sso_common.flows``: ``store.run(read_records(sids))``. All raise
``StoreUnavailable`` where Redis cannot answer. Commands may be sent twice, if a connection breaks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sso_common import conf, store
from sso_common.flows import Command, Flow

#: Replaces a record only if it is the one that was read. So a session that has ended does not come back,
#: and a newer record is not overwritten. A record that is already the new one counts as replaced.
REPLACE: Final = """
local record = redis.call('GET', KEYS[1])
if record == ARGV[2] then return 1 end
if record ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'XX', 'KEEPTTL')
return 1
"""


def write_record(sub: uuid.UUID, sid: str, record: bytes, idle: int, exp: int) -> Flow[None]:
    """Store a new session's record for ``idle`` seconds, and add the session to the user's index."""
    namespace = conf.dsn().namespace
    index = store.user_key(namespace, sub)
    # The index first, and confirmed (in a cluster, another node may hold it): ending all sessions of a
    # user must find every record.
    indexed = yield [
        ("ZREMRANGEBYSCORE", index, "-inf", int(time.time())),
        ("ZADD", index, exp, sid),
        ("EXPIREAT", index, exp, "NX"),
        ("EXPIREAT", index, exp, "GT"),
    ]
    store.checked(indexed)
    store.checked((yield [("SET", store.identity_key(namespace, sid), record, "EX", idle, "NX")]))


def delete_records(
    sessions: Iterable[tuple[str, uuid.UUID]], sites: Sequence[str], *, notify: bool
) -> Flow[None]:
    """End sessions (sid, sub): delete records, index entries and the data of each site.

    With ``notify``, also adds an event for each session.
    """
    namespace = conf.dsn().namespace
    commands: list[Command] = []
    events: list[Command] = []
    for sid, sub in sessions:
        commands.append(("UNLINK", store.identity_key(namespace, sid)))
        commands += [("UNLINK", store.site_key(namespace, sid, site)) for site in sites]
        commands.append(("ZREM", store.user_key(namespace, sub), sid))
        if notify:
            events.append(store.event("signed_out", sid=sid, sub=sub))
    answers = yield [*commands, *events]
    # A stream that takes no more events must not keep a session alive.
    store.checked(answers[: len(commands)])


def remove_from_index(sid: str, sub: uuid.UUID) -> Flow[None]:
    """Remove a session that has ended from its user's index."""
    store.checked((yield [("ZREM", store.user_key(conf.dsn().namespace, sub), sid)]))


def indexed_sids(subs: Iterable[uuid.UUID]) -> Flow[dict[uuid.UUID, list[str]]]:
    """Return the sessions in each user's index. Some of them may have ended."""
    subs = list(subs)
    namespace = conf.dsn().namespace
    answers = store.checked((yield [("ZRANGE", store.user_key(namespace, sub), 0, -1) for sub in subs]))
    return {sub: [sid.decode("ascii") for sid in sids] for sub, sids in zip(subs, answers, strict=True)}


def read_records(sids: Sequence[str]) -> Flow[dict[str, bytes]]:
    """Return the records that exist, by sid."""
    namespace = conf.dsn().namespace
    answers = store.checked((yield [("GET", store.identity_key(namespace, sid)) for sid in sids]))
    return {sid: record for sid, record in zip(sids, answers, strict=True) if record is not None}


def replace_records(changes: Mapping[str, tuple[bytes, bytes]]) -> Flow[set[str]]:
    """Replace records, {sid: (old, new)}, and keep their time to live.

    Returns the sids whose record was another than the old one. Those were not changed.
    """
    namespace = conf.dsn().namespace
    answers = yield [
        ("EVAL", REPLACE, 1, store.identity_key(namespace, sid), old, new)
        for sid, (old, new) in changes.items()
    ]
    return {sid for sid, replaced in zip(changes, store.checked(answers), strict=True) if not replaced}


def times_to_live(sids: Sequence[str]) -> Flow[dict[str, int]]:
    """Return the milliseconds until each session reaches its idle timeout. Those that have ended are
    left out."""
    namespace = conf.dsn().namespace
    answers = store.checked((yield [("PTTL", store.identity_key(namespace, sid)) for sid in sids]))
    return {sid: left for sid, left in zip(sids, answers, strict=True) if left > 0}
