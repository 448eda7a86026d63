"""A single Redis server: sends commands over connections that stay open.

``connection`` uses one for the whole store, ``cluster`` one for each node.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final

import redis

from sso_common.flows import Commands

try:
    import hiredis
except ImportError:  # a platform that it has no wheel for; all of this works without it
    pack_command: Callable[..., bytes] | None = None
else:
    pack_command = hiredis.pack_command

#: Failures after which a single server is tried once more.
FAILURES: Final = (redis.ConnectionError, redis.TimeoutError)
#: Sends commands, pauses, and returns the answers.
Exchange = Generator[None, None, list[Any]]


class Server:
    """Keeps its open connections itself, outside of the client's pool.

    The pool checks a connection each time it hands it out or takes it back, and that takes as long as
    Redis takes to answer (benchmarks/README.md). A connection is kept here only after all of its
    answers were read, so there is nothing to check. If the server has closed it in the meantime, the
    next exchange fails and is repeated on a new connection.
    """

    def __init__(
        self, pool: redis.ConnectionPool, repeats: type[Exception] | tuple[type[Exception], ...] = FAILURES
    ) -> None:
        self.pool = pool
        self._repeats = repeats
        self._ready: deque[Any] = deque()
        # Leave connections to the other users of a pool that is limited.
        self._kept = pool.max_connections // 2

    def ask(self, commands: Commands) -> list[Any]:
        """Send commands in one write and return their answers; a refusal is an answer, too.

        The commands may run twice: a connection that breaks does not tell whether the server has run
        them. Raises ``redis.RedisError``.
        """
        return finish(self.exchange(commands))

    def exchange(self, commands: Commands) -> Exchange:
        """Do what ``ask`` does, with a pause between sending and reading."""
        connection = self._take()
        retries = 1
        try:
            packed = pack(connection, commands)
            while True:
                try:
                    connection.send_packed_command([packed])
                    yield
                    answers = read(connection, len(commands))
                    break
                except self._repeats:
                    connection.disconnect()
                    if not retries:
                        raise
                    retries -= 1
        except BaseException:
            # A worker's time limit may interrupt this, or another node fail before the answers are read.
            # The next user of the connection would read them, and get another visitor's session.
            self._drop(connection)
            raise
        self._keep(connection)
        return answers

    def ping(self) -> None:
        """Return when the server answers this Redis user. Raises ``redis.RedisError``."""
        (answer,) = self.ask([("PING",)])
        if isinstance(answer, redis.ResponseError):
            raise answer

    def forget(self) -> None:
        """Close all connections that are not in use, including those of the pool."""
        with contextlib.suppress(IndexError):
            while True:
                self._drop(self._ready.pop())
        with contextlib.suppress(OSError, redis.RedisError):
            self.pool.disconnect(inuse_connections=False)

    def _take(self) -> Any:
        try:
            return self._ready.pop()
        except IndexError:
            return self.pool.get_connection()

    def _keep(self, connection: Any) -> None:
        if len(self._ready) < self._kept:
            self._ready.append(connection)
        else:
            self.pool.release(connection)

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self.pool.release(connection)


def finish(exchange: Exchange) -> list[Any]:
    """Complete an exchange and return the answers."""
    try:
        while True:
            next(exchange)
    except StopIteration as done:
        answers: list[Any] = done.value
        return answers


def pack(connection: Any, commands: Commands) -> bytes:
    """The bytes of some commands."""
    # redis-py's own packer takes six times as long for commands as small as these.
    return b"".join(map(pack_command, commands) if pack_command else connection.pack_commands(commands))


def read(connection: Any, expected: int) -> list[Any]:
    """Read all answers. A refusal is returned, not raised: the answers after it must be read, too."""
    answers: list[Any] = []
    while len(answers) < expected:
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as refusal:
            answers.append(refusal)
    return answers
