"""The stream of events, through which the portal and the sites notify each other.

It carries no personal data: every site can read all of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import redis

from sso_common import conf
from sso_common.dsn import Dsn
from sso_common.flows import Command

from .connection import answering
from .names import events_key
from .topology import ClusterClient, connect

#: Older events are dropped.
EVENTS_KEPT: Final = 10_000


def event(kind: str, **details: object) -> Command:
    """The command that adds an event of this type, in the name of this site."""
    dsn = conf.dsn()
    fields = ["type", kind, "site", dsn.site]
    for name, value in details.items():
        fields += [name, str(value)]
    return ("XADD", events_key(dsn.namespace), "MAXLEN", "~", EVENTS_KEPT, "*", *fields)


def wait_for_user_event(last_id: str, timeout_ms: int) -> str | None:
    """Block until the stream has an event of type ``user`` after ``last_id`` ("$": after now).

    Returns the id of the newest event that was read, or None after ``timeout_ms`` milliseconds.
    Raises ``StoreUnavailable``. Uses a connection of its own, because it waits for longer than a
    request may.
    """
    dsn = conf.dsn()
    deadline = time.monotonic() + timeout_ms / 1000
    with answering(), patient_client(dsn, timeout_ms) as connection:
        while (left := int(1000 * (deadline - time.monotonic()))) > 0:
            answer: Any = connection.xread({events_key(dsn.namespace): last_id}, block=left)
            events = [each for _, entries in streams(answer) for each in entries]
            if any(values.get(b"type") == b"user" for _, values in events):
                return str(events[-1][0].decode("ascii"))
            if events:
                last_id = events[-1][0].decode("ascii")
    return None


def streams(answer: Any) -> Iterable[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    """The streams in an answer to XREAD: a list of pairs in RESP2, a mapping to lists in RESP3."""
    if isinstance(answer, dict):
        for name, groups in answer.items():
            for entries in groups:
                yield name, entries
    else:
        yield from answer or []


@contextlib.contextmanager
def patient_client(dsn: Dsn, timeout_ms: int) -> Iterator[redis.Redis | ClusterClient]:
    """A client with one connection of its own, which waits for an answer for ``timeout_ms``."""
    url, timeout = dsn.redis_login_url, timeout_ms / 1000 + conf.READ_TIMEOUT
    if dsn.is_cluster:
        connection: redis.Redis | ClusterClient = connect(url, timeout)
    else:
        connection = redis.Redis.from_url(
            url, socket_connect_timeout=conf.CONNECT_TIMEOUT, socket_timeout=timeout
        )
    with contextlib.closing(connection):
        yield connection
