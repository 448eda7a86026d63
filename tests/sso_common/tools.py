"""What the tests of the request path share: visitors, counters, and what Redis holds for whom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis.connection
from django.http import HttpResponseBase

from sso_common import conf, store, testing
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken, mint_token, parse_token


def issue(username: str = "anna", **options: Any) -> SessionToken:
    """Sign somebody in, at no particular browser."""
    token = mint_token()
    identity = testing.make_identity(token, username, **options)
    testing.store_record(token.sid, testing.sign_record(identity), identity.idle)
    return token


def token_of(client: Any) -> SessionToken:
    """The session token in a test client's cookie jar."""
    return parse_token(client.cookies[conf.cookie_name()].value)


def end(token: SessionToken) -> None:
    """End a session as another site would: the record goes, and nothing else that is here."""
    store.client().unlink(record_name(token))


def record_name(token: SessionToken) -> str:
    return store.identity_key(conf.namespace(), token.sid)


def site_name(token: SessionToken) -> str:
    return store.site_key(conf.namespace(), token.sid, conf.site())


def anonymous_name(session_key: str) -> str:
    return store.anonymous_key(conf.namespace(), conf.site(), session_key)


def has_identity(token: SessionToken) -> bool:
    return bool(store.client().exists(record_name(token)))


def names_in_redis() -> set[bytes]:
    return set(store.client().keys("*"))


def events(kind: str) -> list[dict[bytes, bytes]]:
    """The events of a type, oldest first."""
    entries: Any = store.client().xrange(store.events_key(conf.namespace()))
    return [values for _id, values in entries if values[b"type"] == kind.encode()]


# --- two modes, one contract -----------------------------------------------------------------


class Anonymous:
    """A visitor with the site's own cookie."""

    def visitor(self) -> SessionStore:
        return SessionStore()

    def again(self, session: SessionStore) -> SessionStore:
        """The same visitor's next request."""
        return SessionStore(session.session_key)

    def is_stored(self, session: SessionStore) -> bool:
        return bool(store.client().exists(anonymous_name(session.session_key)))


class SignedIn:
    """A visitor with the SSO cookie."""

    def visitor(self) -> SessionStore:
        return SessionStore(token=issue())

    def again(self, session: SessionStore) -> SessionStore:
        return SessionStore(token=session.token)

    def is_stored(self, session: SessionStore) -> bool:
        return bool(store.client().exists(site_name(session.token)))


# --- counters --------------------------------------------------------------------------------


@dataclass
class Trips:
    """What was sent to Redis: one entry a round trip, each the bytes of one write."""

    sent: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sent)


@contextlib.contextmanager
def counted_trips() -> Iterator[Trips]:
    """Count the round trips to Redis of this process, at the socket, and change nothing.

    The connection is opened before, so that its greeting is not counted.
    """
    store.ping()
    trips = Trips()
    send = redis.connection.AbstractConnection.send_packed_command

    def counting(self: Any, command: Any, check_health: bool = True) -> Any:
        parts = command if isinstance(command, list) else [command]
        trips.sent.append(b"".join(part if isinstance(part, bytes) else part.encode() for part in parts))
        return send(self, command, check_health)

    redis.connection.AbstractConnection.send_packed_command = counting
    try:
        yield trips
    finally:
        redis.connection.AbstractConnection.send_packed_command = send


@contextlib.contextmanager
def counted_commands(admin: Any) -> Iterator[dict[str, int]]:
    """How often the server itself ran each command, also inside scripts: filled in at the end."""
    calls: dict[str, int] = {}
    before = _command_calls(admin)
    yield calls
    after = _command_calls(admin)
    for name, count in after.items():
        if count > before.get(name, 0) and name not in {"info", "ping"}:
            calls[name] = count - before.get(name, 0)


def _command_calls(admin: Any) -> dict[str, int]:
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in admin.info("commandstats").items()}


def without_cookies(response: HttpResponseBase) -> bool:
    return not response.cookies and "Set-Cookie" not in response.headers
