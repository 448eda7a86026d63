"""Tries out what this site's Redis user may do, and may not. Harms nothing, whatever the answer is.

In: the settings. Out: what it lacks, and what it has too much of, in words. Called by ``doctor``. The
rights themselves are granted by the portal.

All names are random or unused, so that a command which should be refused and is not has no effect:
it changes only what exists, deletes what never was, or shows a number.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from . import conf, store
from .exceptions import StoreUnavailable
from .tokens import mint_token

#: Seconds that a probe's own key would live, should its deletion be refused.
_LIFETIME: Final = 60
#: These say what state the server is in, and nothing of rights.
_STATE: Final = (OutOfMemoryError, ReadOnlyError)


def missing_rights() -> list[str]:
    """What a site has to do and this one's user may not. Raises ``RedisError`` or ``StoreUnavailable``
    where that cannot be told."""
    return [what for what, attempt in _needed() if not _is_allowed(attempt)]


def excessive_rights() -> list[str]:
    """What no site may do and this one's user may. Raises as ``missing_rights``."""
    found = [what for what, command in _forbidden() if _is_allowed(_command(*command))]
    found += [what for what, command in _ADMINISTRATION if _is_allowed(_command(*command, is_keyless=True))]
    return list(dict.fromkeys(found))


def _needed() -> Iterator[tuple[str, Callable[[], object]]]:
    dsn, sid, session_key = conf.dsn(), mint_token().sid, secrets.token_urlsafe(32)
    identity = store.identity_key(dsn.namespace, sid)
    own = store.site_key(dsn.namespace, sid, dsn.site)
    events = store.events_key(dsn.namespace)
    empty = store.Changes(put={store.MARKER: b""})
    yield "read identity records", _command("GET", identity)
    yield "read identity records", _command("PTTL", identity)
    yield "end a session", _command("UNLINK", identity)
    yield "keep a session alive", _command("PEXPIRE", identity, 1000, "GT")
    yield "read its own sessions", _command("HGETALL", own)
    yield "write its own sessions", _command("HDEL", own, "f")
    yield "save its own sessions by a script", lambda: store.run(store.save_site_session(sid, empty))
    yield (
        "save its own anonymous sessions by a script",
        lambda: store.run(store.save_anonymous(session_key, empty, _LIFETIME, create=True)),
    )
    yield "read its own anonymous sessions", lambda: store.run(store.read_anonymous(session_key))
    yield "delete its own anonymous sessions", lambda: store.run(store.delete_anonymous(session_key))
    # The id 0-0 is an error of its own once the permission is there, so that no event is made.
    yield "append to the events", _command("XADD", events, "0-0", "type", "probe")
    yield "read the events", _command("XREAD", "STREAMS", events, "$")


def _forbidden() -> Iterator[tuple[str, tuple[str | int, ...]]]:
    dsn, sid = conf.dsn(), mint_token().sid
    identity = store.identity_key(dsn.namespace, sid)
    yield "write identity records", ("SET", identity, "x", "XX", "PX", 1)
    yield "write identity records", ("HDEL", identity, "f")
    yield "write identity records by a script", _script(identity)
    # A name that starts like this site's shows a pattern that ends too early.
    for other in (f"{dsn.site}0", f"x{secrets.token_hex(4)}"):
        for key in (
            store.site_key(dsn.namespace, sid, other),
            store.anonymous_key(dsn.namespace, other, secrets.token_urlsafe(32)),
        ):
            yield "read other sites' sessions", ("HGETALL", key)
            yield "write other sites' sessions", ("HDEL", key, "f")
            yield "write other sites' sessions", _script(key)
    index = store.user_key(dsn.namespace, secrets.token_hex(16))
    yield "read the portal's index of sessions", ("ZCARD", index)
    yield "write the portal's index of sessions", ("ZREM", index, "m")
    nonce = store.nonce_key(dsn.namespace, dsn.site, secrets.token_hex(16))
    yield "read the portal's nonces", ("GET", nonce)
    yield "write the portal's nonces", ("SET", nonce, "x", "XX", "PX", 1)
    yield "delete the portal's nonces", ("UNLINK", nonce)
    yield "read keys of others", ("GET", f"{secrets.token_hex(8)}:{{{sid}}}:identity")
    yield "write keys of others", ("HDEL", f"{secrets.token_hex(8)}:{{{sid}}}:identity", "f")
    events = store.events_key(dsn.namespace)
    yield "delete events", ("XDEL", events, "0-1")
    yield "delete events", _script(events)


#: Commands without a key. FLUSHALL, KEYS and their like are never tried: these stand for the categories
#: that those are in.
_ADMINISTRATION: Final[tuple[tuple[str, tuple[str | int, ...]], ...]] = (
    ("list keys (SCAN)", ("SCAN", 0, "COUNT", 1)),
    ("count keys (DBSIZE)", ("DBSIZE",)),
    ("see the configuration (CONFIG)", ("CONFIG GET", "maxmemory")),
    ("see the Redis users (ACL)", ("ACL USERS",)),
    ("see what others asked (SLOWLOG)", ("SLOWLOG LEN",)),
    ("see functions (FUNCTION)", ("FUNCTION LIST", "LIBRARYNAME", "no-such-library")),
    ("publish messages (PUBLISH)", ("PUBLISH", "no-such-channel", "")),
)


def _script(key: str) -> tuple[str | int, ...]:
    return ("EVAL", "return 0", 1, key)


def _command(*arguments: str | int, is_keyless: bool = False) -> Callable[[], object]:
    def attempt() -> object:
        client: Any = store.client()
        # Without a key, a cluster's client has to be told whom to ask.
        anywhere = is_keyless and isinstance(client, RedisCluster)
        options = {"target_nodes": RedisCluster.RANDOM} if anywhere else {}
        return client.execute_command(*arguments, **options)

    return attempt


def _is_allowed(attempt: Callable[[], object]) -> bool:
    """Whether Redis let it happen; an error of another kind than a refusal means that it did."""
    try:
        attempt()
    except NoPermissionError:
        return False
    except _STATE:
        raise
    except ResponseError:
        return True
    except StoreUnavailable as error:
        if isinstance(error.__cause__, ResponseError) and not isinstance(error.__cause__, _STATE):
            return False  # refused outside the script, or inside
        raise
    return True
