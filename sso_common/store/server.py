"""A single Redis server: sends commands over connections that stay open.

``connection`` uses one for the whole store, ``cluster`` one for each node.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from typing import Any, Final

from redis import ConnectionPool
from redis.exceptions import (
    ConnectionError,  # noqa: A004  redis-py's own, which is no OSError
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  likewise
)

from sso_common.flows import Commands

try:
    import hiredis
except ImportError:  # a platform that it has no wheel for; all of this works without it
    pack_command: Any = None
else:
    pack_command = hiredis.pack_command

#: Sends commands, pauses once, and returns the answers.
Exchange = Generator[None, None, list[Any]]


class Server:
    """Keeps its open connections itself, outside of the client's pool.

    The pool checks a connection each time it hands it out or takes it back, and that takes as long as
    Redis takes to answer (benchmarks/README.md). A connection is kept here only after all of its
    answers were read, so there is nothing to check. If the server has closed it in the meantime, the
    next exchange fails and is repeated on a new connection.
    """

    #: Failures after which the commands are sent once more.
    REPEATED: Final = (ConnectionError, TimeoutError)

    def __init__(self, pool: ConnectionPool, repeated: tuple[type[Exception], ...] = REPEATED) -> None:
        self._pool = pool
        self._repeated = repeated
        self._ready: deque[Any] = deque()
        # Leave connections to the other users of a pool that is limited.
        self._kept = pool.max_connections // 2

    def ask(self, commands: Commands) -> list[Any]:
        """Send commands in one write and return their answers; a refusal is an answer, too.

        The commands may run twice: when a connection breaks, nobody knows whether the server has run
        them. Raises ``redis.RedisError``.
        """
        return finish(self.exchange(commands))

    def exchange(self, commands: Commands) -> Exchange:
        """Do what ``ask`` does, with a pause between sending and reading."""
        connection: Any
        try:
            connection = self._ready.pop()
        except IndexError:
            connection = self._pool.get_connection()
        retries = 1
        try:
            # redis-py's own packer takes six times as long for commands as small as these.
            packed = b"".join(
                map(pack_command, commands) if pack_command else connection.pack_commands(commands)
            )
            while True:
                try:
                    connection.send_packed_command([packed])
                    yield
                    answers = [read(connection) for _ in commands]
                    break
                except self._repeated:
                    connection.disconnect()
                    if not retries:
                        raise
                    retries -= 1
        except BaseException:
            # Also when a worker's time limit interrupts it, or another node has failed and nobody reads
            # these answers: the next user of the connection would read another visitor's session.
            self._drop(connection)
            raise
        if len(self._ready) < self._kept:
            self._ready.append(connection)
        else:
            self._pool.release(connection)
        return answers

    def ping(self) -> None:
        """Return when the server answers this Redis user. Raises ``redis.RedisError``."""
        (answer,) = self.ask([("PING",)])
        if isinstance(answer, ResponseError):
            raise answer

    def forget(self) -> None:
        """Close all connections that are not in use, including those of the pool."""
        with contextlib.suppress(IndexError):
            while True:
                self._drop(self._ready.pop())
        with contextlib.suppress(OSError, RedisError):
            self._pool.disconnect(inuse_connections=False)

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)


def finish(exchange: Exchange) -> list[Any]:
    """Complete an exchange and return the answers."""
    try:
        while True:
            next(exchange)
    except StopIteration as done:
        answers: list[Any] = done.value
        return answers


def read(connection: Any) -> Any:
    """Read one answer. A refusal is returned, not raised, because the answers after it are read, too."""
    try:
        return connection.read_response()
    except ResponseError as refusal:
        return refusal
