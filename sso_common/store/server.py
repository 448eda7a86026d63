"""One Redis server, asked directly; beside ``cluster``, which asks several.

In: commands. Out: their answers, in one round trip. Called by ``store``.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any, Final

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from sso_common.flows import Commands

try:
    import hiredis
except ImportError:  # a platform that it has no wheel for; all of this works without it
    _pack_command: Any = None
else:
    _pack_command = hiredis.pack_command

_ONCE_MORE: Final = Retry(NoBackoff(), 1)


class Server:
    """Keeps connections at hand, outside of the client's pool.

    The pool looks at a connection each time it hands it out or takes it back, and that takes as long
    as Redis takes to answer (benchmarks/README.md). Here a connection comes back only when its answers
    were read to the last, so there is nothing to look for; one that has been closed meanwhile is noticed
    at its next use, which is then tried once more on a new one.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._ready: deque[Any] = deque()
        # A pool with a limit needs some for its other users.
        self._kept = pool.max_connections // 2

    def ask(self, commands: Commands) -> list[Any]:
        """The answers to commands; a refusal is an answer, too.

        Every command must be one that may run twice: whether a connection broke before the server was
        asked or before it answered cannot be told. Raises ``redis.RedisError``.
        """
        try:
            connection = self._ready.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            # redis-py's own packer takes six times as long over commands as small as these.
            packed = b"".join(
                map(_pack_command, commands) if _pack_command else connection.pack_commands(commands)
            )
            answers: list[Any] = _ONCE_MORE.call_with_retry(
                lambda: _exchange(connection, packed, len(commands)), lambda error: connection.disconnect()
            )
        except BaseException:
            # A worker's time limit, for example: whoever used the connection next would read what is left
            # of these answers, which is another visitor's session.
            self._drop(connection)
            raise
        if len(self._ready) < self._kept:
            self._ready.append(connection)
        else:
            self._pool.release(connection)
        return answers

    def ping(self) -> None:
        """Return when the server answers, to this user. Raises ``redis.RedisError``."""
        (answer,) = self.ask([("PING",)])
        if isinstance(answer, ResponseError):
            raise answer

    def forget(self) -> None:
        """Close all connections that are not in use, those of the pool included."""
        with contextlib.suppress(IndexError):
            while True:
                self._drop(self._ready.pop())
        with contextlib.suppress(OSError, RedisError):
            self._pool.disconnect(inuse_connections=False)

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)


def _exchange(connection: Any, packed: bytes, expected: int) -> list[Any]:
    connection.send_packed_command([packed])
    answers: list[Any] = []
    # All answers are read before any refusal counts, so that the connection can be used again.
    while len(answers) < expected:
        try:
            answers.append(connection.read_response())
        except ResponseError as refusal:
            answers.append(refusal)
    return answers
