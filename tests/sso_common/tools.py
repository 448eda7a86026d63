"""Helpers for the tests of a site: sign users in, read Redis, count round trips."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import redis.connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory

from sso_common import conf, store, testing
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken, mint_token, parse_token

# --- users and their browsers ----------------------------------------------------------------


def sign_in(username: str = "anna", **options: Any) -> SessionToken:
    """Sign a user in without a browser. ``options`` are those of ``testing.make_identity``."""
    token = mint_token()
    identity = testing.make_identity(token, username, **options)
    testing.store_record(token.sid, testing.sign_record(identity), identity.idle)
    return token


def end(token: SessionToken) -> None:
    """End a session as another site does: delete the identity record and nothing else."""
    store.client().unlink(record_name(token))


def token_of(client: Client) -> SessionToken:
    """The session token in the cookies of a test client."""
    return parse_token(client.cookies[conf.dsn().cookie_name].value)


def request_with(token: SessionToken) -> HttpRequest:
    """A request with the SSO cookie of a session."""
    return RequestFactory(headers={"cookie": f"{conf.dsn().cookie_name}={token.value}"}).get("/")


def session_data(client: Client) -> dict[str, Any]:
    """The data of the signed-in session of a test client, as it is stored."""
    return dict(SessionStore(token=token_of(client)).items())


def sets_no_cookie(response: HttpResponseBase) -> bool:
    return not response.cookies and "Set-Cookie" not in response.headers


# --- what Redis holds ------------------------------------------------------------------------


def record_name(token: SessionToken) -> str:
    return store.identity_key(conf.dsn().namespace, token.sid)


def site_name(token: SessionToken) -> str:
    return store.site_key(conf.dsn().namespace, token.sid, conf.dsn().site)


def anonymous_name(session_key: str) -> str:
    return store.anonymous_key(conf.dsn().namespace, conf.dsn().site, session_key)


def has_identity(token: SessionToken) -> bool:
    return bool(store.client().exists(record_name(token)))


def names_in_redis() -> set[bytes]:
    return set(store.client().keys("*"))


def expire_in(token: SessionToken, seconds: float) -> None:
    """Let the identity record and the site session expire in so many seconds."""
    for name in (record_name(token), site_name(token)):
        store.client().pexpire(name, int(1000 * seconds))


def events(kind: str) -> list[dict[bytes, bytes]]:
    """The events of a type, oldest first."""
    entries: Any = store.client().xrange(store.events_key(conf.dsn().namespace))
    return [values for _id, values in entries if values[b"type"] == kind.encode()]


# --- processes -------------------------------------------------------------------------------


def in_child(function: Callable[[], object], fork: Callable[[], int] = os.fork) -> str:
    """Return, as text, what a function returns in a child process."""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:  # the child has only this thread
        try:
            os.write(writing, str(function()).encode())
            gc.collect()  # nothing that the child forgets may disturb its parent
        except BaseException as error:  # noqa: BLE001  the parent shows it
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


# --- what a request costs --------------------------------------------------------------------


@dataclass
class Trips:
    """What was sent to Redis. ``len()`` is the number of round trips."""

    #: The bytes of each write.
    sent: list[bytes] = field(default_factory=list)
    #: The threads that waited for a write: none where an event loop sent it.
    threads: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.sent)


@contextlib.contextmanager
def counted_trips() -> Iterator[Trips]:
    """Count the round trips to Redis of this process, at the socket.

    Connects first, so that the commands of a new connection are not counted.
    """
    store.ping()
    trips = Trips()
    send, write = SYNC.send_packed_command, asyncio.StreamWriter.write

    def count(self: Any, command: Any, check_health: bool = True) -> Any:
        parts = command if isinstance(command, list) else [command]
        trips.sent.append(b"".join(part if isinstance(part, bytes) else part.encode() for part in parts))
        trips.threads.add(threading.get_ident())
        return send(self, command, check_health)

    def count_written(self: asyncio.StreamWriter, data: bytes) -> None:
        trips.sent.append(data)
        write(self, data)

    with (
        mock.patch.object(SYNC, "send_packed_command", count),
        mock.patch.object(asyncio.StreamWriter, "write", count_written),  # redis-py itself uses writelines
    ):
        yield trips


SYNC = redis.connection.AbstractConnection


@contextlib.contextmanager
def counted_commands(admin: Any) -> Iterator[dict[str, int]]:
    """Count how often the server ran each command, also inside scripts. Filled in at the end."""
    calls: dict[str, int] = {}
    before = _command_calls(admin)
    yield calls
    after = _command_calls(admin)
    for name, count in after.items():
        if count > before.get(name, 0) and name not in {"info", "ping"}:
            calls[name] = count - before.get(name, 0)


def _command_calls(admin: Any) -> dict[str, int]:
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in admin.info("commandstats").items()}
