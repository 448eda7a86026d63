"""Everything that ``sso_common`` says to Redis; the only module that knows its commands and keys.

In: names, and bytes that are already encoded. Out: bytes. Called by ``sessions``, ``views``,
``feed`` and the commands. Whatever keeps Redis from answering is ``StoreUnavailable``: never an
empty answer.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import redis
from django.core.signals import setting_changed
from django.dispatch import receiver
from django_redis import get_redis_connection
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from . import cluster, conf
from .exceptions import StoreUnavailable
from .outage import Outage
from .server import Command, Server

logger = logging.getLogger("sso_common.store")

#: Marks a hash that exists and holds nothing else: Redis has no empty hash. No session key may
#: start with a NUL.
MARKER: Final = b"\x00"

EVENTS_KEPT: Final = 10_000


# --- names -----------------------------------------------------------------------------------
# The braces are a hash tag of Redis Cluster: all of one session is on one node.


def identity_key(namespace: str, sid: str) -> str:
    """The identity record of a session."""
    return f"{namespace}:{{{sid}}}:identity"


def site_key(namespace: str, sid: str, site: str) -> str:
    """What one site keeps in a session."""
    return f"{namespace}:{{{sid}}}:site:{site}"


def anonymous_key(namespace: str, site: str, session_key: str) -> str:
    """A session of a visitor who is not signed in; hashed, so a dump opens no session."""
    digest = hashlib.sha256(session_key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{namespace}:anon:{site}:{{{digest}}}"


def user_key(namespace: str, sub: object) -> str:
    """The index of a user's sessions; the portal's alone."""
    return f"{namespace}:user:{sub}"


def events_key(namespace: str) -> str:
    """The stream of events."""
    return f"{namespace}:events"


# --- connection ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def client() -> redis.Redis:
    """The shared client. Reads and writes go to the primary alone: a replica may not know yet
    that a session has ended.

    One for the process: under ASGI, Django's cache handler would build one anew in each request.
    """
    dsn = conf.dsn()
    if dsn.is_cluster:
        return cast(redis.Redis, cluster.shared_client(dsn.redis_login_url))
    return cast(redis.Redis, get_redis_connection(conf.CACHE_ALIAS))


@functools.lru_cache(maxsize=1)
def _server() -> Server | cluster.ClusterClient:
    asked: Any = client()
    return asked if isinstance(asked, cluster.ClusterClient) else Server(asked.connection_pool)


# A child process must not share its parent's connections.
os.register_at_fork(after_in_child=_server.cache_clear)


@receiver(setting_changed, dispatch_uid="sso_common.store")
def _forget_client(*, setting: str, **kwargs: Any) -> None:
    if setting in {conf.DSN_VARIABLE, "CACHES"}:
        if _server.cache_info().currsize:
            _forget_connections()
        client.cache_clear()
        _server.cache_clear()


#: Of the one server; a cluster's client has one for each node.
outage: Final = Outage()


class answering:  # noqa: N801  used like contextlib.suppress
    """Turn every failure of Redis into ``StoreUnavailable``.

    A refusal (authentication, ACL, out of memory, read-only replica) counts as one: it says
    nothing of whether the session exists.
    """

    def __enter__(self) -> None:
        outage.check()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RedisTimeoutError):
            outage.begin()
        elif error is None:
            outage.end()
        if isinstance(error, ReadOnlyError):
            _forget_connections()
        if isinstance(error, (RedisError, OSError)):
            # The class alone: a message may quote a command's arguments.
            raise StoreUnavailable(type(error).__name__) from error


def _forget_connections() -> None:
    """Close what is not in use. Where the primary has become a replica, connections to it would stay
    open and be read from for ever; new ones go to whoever has its address now."""
    _server().forget()


def _ask(*commands: Command) -> list[Any]:
    """Send commands of one key each at once, and return the answers; raise the first refusal."""
    answers = _server().ask(commands)
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise answer
    return answers


# --- reading ---------------------------------------------------------------------------------


class StoredSession(NamedTuple):
    """All that one round trip knows of a visitor."""

    #: The identity record as it is stored, or None where there is none.
    record: bytes | None
    #: Milliseconds until the site session ends by the idle timeout; negative where there is none. It
    #: never outlives the record, and it may end before it: other sites extend the record and not this.
    ttl: int
    #: The site session: encoded values by field name.
    fields: dict[bytes, bytes]
    #: The anonymous session; empty where there is none.
    anonymous: dict[bytes, bytes]


def read_session(sid: str, session_key: str | None = None) -> StoredSession:
    """Fetch identity record, site session and, where a key is given, the anonymous session.

    One round trip (with a cluster: one to each of the two nodes that may be concerned). Raises
    ``StoreUnavailable``.
    """
    dsn = conf.dsn()
    own = site_key(dsn.namespace, sid, dsn.site)
    commands = [("GET", identity_key(dsn.namespace, sid)), ("PTTL", own), ("HGETALL", own)]
    if session_key is not None:
        commands.append(("HGETALL", anonymous_key(dsn.namespace, dsn.site, session_key)))
    with answering():
        record, ttl, fields, *anonymous = _ask(*commands)
    return StoredSession(record, ttl, _mapping(fields), _mapping(anonymous[0]) if anonymous else {})


def _mapping(answer: Any) -> dict[bytes, bytes]:
    # RESP3 answers a mapping, RESP2 a flat list.
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def read_anonymous(session_key: str) -> dict[bytes, bytes]:
    """Fetch an anonymous session; empty where there is none. Raises ``StoreUnavailable``."""
    dsn = conf.dsn()
    with answering():
        return _mapping(_ask(("HGETALL", anonymous_key(dsn.namespace, dsn.site, session_key)))[0])


def anonymous_exists(session_key: str) -> bool:
    """Whether an anonymous session of this name exists. Raises ``StoreUnavailable``."""
    dsn = conf.dsn()
    with answering():
        return bool(_ask(("EXISTS", anonymous_key(dsn.namespace, dsn.site, session_key)))[0])


# --- writing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changes:
    """What a save changes: fields to set, fields to delete, and whether all others go, too."""

    put: Mapping[bytes, bytes]
    drop: Iterable[bytes] = ()
    replace: bool = False


class _Script:
    """A Lua script, run by its hash, and sent in full where the server does not know it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, key: str, *arguments: str | bytes | int) -> Any:
        try:
            return _ask(("EVALSHA", self.sha, 1, key, *arguments))[0]
        except NoScriptError:
            return _ask(("EVAL", self.source, 1, key, *arguments))[0]


# Shared by the two scripts: apply changes to KEYS[1].
# ARGV: guard, milliseconds, replace, number of values to put, the values, fields to drop.
_APPLY = """
local function apply(ttl)
  if ARGV[3] == '1' then redis.call('UNLINK', KEYS[1]) end
  local last = 4 + 2 * tonumber(ARGV[4])
  for i = 5, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  redis.call('PEXPIRE', KEYS[1], ttl)
  return 1
end
"""

# The identity's name is an argument and not a key, because a key of a script must be writable,
# and a site may only read it. It is in the same slot.
_SAVE_SIGNED_IN = _Script(
    _APPLY
    + """
local ttl = redis.call('PTTL', ARGV[1])
if ttl <= 0 then return 0 end
return apply(ttl)
"""
)

_SAVE_ANONYMOUS = _Script(
    _APPLY
    + """
local exists = redis.call('EXISTS', KEYS[1])
if (ARGV[1] == 'create') == (exists == 1) then return 0 end
return apply(ARGV[2])
"""
)

# ARGV: the identity's name, then fields and values, each set only where it is not there yet.
_ADOPT = _Script(
    """
local ttl = redis.call('PTTL', ARGV[1])
if ttl <= 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ttl)
return 1
"""
)


def _arguments(changes: Changes) -> Iterator[str | bytes | int]:
    yield int(changes.replace)
    yield len(changes.put)
    for name, value in changes.put.items():
        yield name
        yield value
    yield from changes.drop


def save_site_session(sid: str, changes: Changes) -> bool:
    """Apply changes to this site's session, atomically, for as long as the identity lives.

    False, and nothing written, where the session has ended meanwhile: a request in flight never
    brings it back. Raises ``StoreUnavailable``.
    """
    dsn = conf.dsn()
    with answering():
        return bool(
            _SAVE_SIGNED_IN(
                site_key(dsn.namespace, sid, dsn.site),
                identity_key(dsn.namespace, sid),
                0,
                *_arguments(changes),
            )
        )


def save_anonymous(session_key: str, changes: Changes, lifetime: float, *, create: bool) -> bool:
    """Apply changes to an anonymous session, which then lives ``lifetime`` seconds.

    False, and nothing written, where it exists and ``create`` is set, or the reverse. Raises
    ``StoreUnavailable``.
    """
    dsn = conf.dsn()
    with answering():
        return bool(
            _SAVE_ANONYMOUS(
                anonymous_key(dsn.namespace, dsn.site, session_key),
                "create" if create else "update",
                int(lifetime * 1000),
                *_arguments(changes),
            )
        )


def adopt_anonymous(sid: str, session_key: str, fields: Mapping[bytes, bytes]) -> bool:
    """Move fields of an anonymous session into this site's session, then delete the former.

    Fields that the site session has already stay as they are, so that two requests at once may
    both do this. False, and nothing moved, where the session has ended. Raises
    ``StoreUnavailable``.
    """
    dsn = conf.dsn()
    flat = [part for name, value in fields.items() for part in (name, value)]
    with answering():
        identity = identity_key(dsn.namespace, sid)
        if not _ADOPT(site_key(dsn.namespace, sid, dsn.site), identity, MARKER, b"", *flat):
            return False
        _ask(("UNLINK", anonymous_key(dsn.namespace, dsn.site, session_key)))
    return True


def delete_site_session(sid: str) -> None:
    """Delete what this site keeps in a session. Raises ``StoreUnavailable``."""
    dsn = conf.dsn()
    with answering():
        _ask(("UNLINK", site_key(dsn.namespace, sid, dsn.site)))


def delete_anonymous(session_key: str) -> None:
    """Delete an anonymous session. Raises ``StoreUnavailable``."""
    dsn = conf.dsn()
    with answering():
        _ask(("UNLINK", anonymous_key(dsn.namespace, dsn.site, session_key)))


def end_session(sid: str, sub: object) -> None:
    """Sign out, everywhere: delete the identity record, and what this site keeps in the session.

    Raises ``StoreUnavailable``; then nobody may be told that they are signed out.
    """
    dsn = conf.dsn()
    with answering():
        # Commands of their own: the ACL grants UNLINK on the two keys by different selectors,
        # and one selector must allow all keys of one command.
        *unlinked, noted = _server().ask(
            [
                ("UNLINK", identity_key(dsn.namespace, sid)),
                ("UNLINK", site_key(dsn.namespace, sid, dsn.site)),
                _event(dsn, "signed_out", sid=sid, sub=sub),
            ]
        )
        for answer in unlinked:
            if isinstance(answer, ResponseError):
                raise answer
    if isinstance(noted, ResponseError):
        # The session has ended all the same; that is what was asked for.
        logger.error("A sign-out was not noted in the stream of events: %s", type(noted).__name__)


def touch_session(sid: str, milliseconds: int) -> None:
    """Extend a session's idle timeout; never shortens it and never brings a session back."""
    dsn = conf.dsn()
    with answering():
        _ask(
            ("PEXPIRE", identity_key(dsn.namespace, sid), milliseconds, "GT"),
            ("PEXPIRE", site_key(dsn.namespace, sid, dsn.site), milliseconds, "GT"),
        )


def note_first_seen(sid: str, sub: object) -> None:
    """Leave the marker of this site in a session, and tell the portal's log of it.

    The event does not name the session: every site reads the stream, and whoever knows a live
    session's name can read its record.
    """
    dsn = conf.dsn()
    if save_site_session(sid, Changes(put={MARKER: b""})):
        with answering():
            _ask(_event(dsn, "first_seen", sub=sub))


def _event(dsn: conf.Dsn, kind: str, **details: object) -> Command:
    fields = ["type", kind, "site", dsn.site]
    for name, value in details.items():
        fields += [name, str(value)]
    return ("XADD", events_key(dsn.namespace), "MAXLEN", "~", EVENTS_KEPT, "*", *fields)


# --- events and health -----------------------------------------------------------------------


def wait_for_user_event(last_id: str, timeout_ms: int) -> str | None:
    """Block until the stream has an event of type ``user`` after ``last_id`` ("$" for now).

    Returns the id of the newest event that was read, or None when the time was up. Raises
    ``StoreUnavailable``. Uses a connection of its own, whose time limit fits the wait.
    """
    dsn = conf.dsn()
    deadline = time.monotonic() + timeout_ms / 1000
    with answering(), _patient_client(dsn, timeout_ms) as connection:
        while (left := int(1000 * (deadline - time.monotonic()))) > 0:
            answer: Any = connection.xread({events_key(dsn.namespace): last_id}, block=left)
            events = [event for _, entries in _streams(answer) for event in entries]
            if any(values.get(b"type") == b"user" for _, values in events):
                return str(events[-1][0].decode("ascii"))
            if events:
                last_id = events[-1][0].decode("ascii")
    return None


def _streams(answer: Any) -> Iterable[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    # RESP2 answers a list of pairs, RESP3 a mapping to a list of lists.
    if isinstance(answer, dict):
        for name, groups in answer.items():
            for entries in groups:
                yield name, entries
    else:
        yield from answer or []


@contextlib.contextmanager
def _patient_client(dsn: conf.Dsn, timeout_ms: int) -> Iterator[redis.Redis]:
    timeout = timeout_ms / 1000 + conf.READ_TIMEOUT
    connection: Any
    if dsn.is_cluster:
        connection = cluster.connect(dsn.redis_login_url, timeout)
    else:
        connection = redis.Redis.from_url(
            dsn.redis_login_url, socket_connect_timeout=conf.CONNECT_TIMEOUT, socket_timeout=timeout
        )
    try:
        yield connection
    finally:
        connection.close()


def ping() -> None:
    """Return when Redis answers, to this site's user. Raises ``StoreUnavailable``."""
    with answering():
        _server().ping()
