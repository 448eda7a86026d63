"""One connection of an event loop, on which all requests of that loop send their commands.

Redis answers in the order in which it was asked, so a request needs no connection of its own, and waits for
none.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import Any, Final, NamedTuple

import redis

from sso_common.flows import Commands

from .server import pack

#: Into so many parts a time limit is divided; see ``Link._look``.
PARTS: Final = 4


class Place(NamedTuple):
    """The place of a request in the queue of those that wait for their answers."""

    expected: int
    #: What the link's clock showed.
    since: int
    answers: asyncio.Future[list[Any]]


class Link:
    """Opens a connection and uses it until it breaks.

    A request that is cancelled keeps its place: its answers are read and dropped, and never become those
    of another request.
    """

    def __init__(self, connection: Any, patience: float) -> None:
        self._connection = connection
        self._queue: deque[Place] = deque()
        self._unsent: list[bytes] = []
        self._is_open = self._is_retired = self._is_closed = False
        self._clock = 0
        self._tick = patience / PARTS
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        # In a context of its own: it outlives the request that happens to open it.
        self._task = contextvars.Context().run(self._loop.create_task, self._run())

    @property
    def is_usable(self) -> bool:
        """Whether commands can be sent, now or as soon as it is open."""
        if self._is_closed or not self._is_open:
            return not self._is_closed
        # None as soon as the connection has found that it is broken.
        writer = self._writer
        return writer is not None and not writer.is_closing()

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        # redis-py has no public name for it; versions 6.2 to 8.1 have this one. Its own method to send would
        # disconnect if the request that sends is cancelled. And Python 3.13.0, for one, cannot open another
        # connection after that method (by ``writelines``) has written to a broken one.
        writer: asyncio.StreamWriter | None = self._connection._writer
        return writer

    async def ask(self, commands: Commands) -> list[Any]:
        """Send commands in one write and return their answers; a refusal is an answer, too.

        Raises ``redis.ConnectionError``, or ``redis.TimeoutError`` after the time limit, connecting included.
        """
        packed = pack(self._connection, commands)
        place = Place(len(commands), self._clock, self._loop.create_future())
        self._queue.append(place)
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick, self._look)
        if self._is_open:
            self._send(packed)
        else:
            self._unsent.append(packed)
        return await place.answers

    def retire(self) -> None:
        """Close as soon as nobody waits for an answer."""
        self._is_retired = True
        if not self._queue:
            self._task.cancel()

    def _send(self, packed: bytes) -> None:
        if self._writer is not None:  # otherwise, the answers fail as well
            self._writer.write(packed)

    async def _run(self) -> None:
        error: Exception = redis.ConnectionError("The connection was closed.")
        try:
            await self._connection.connect()
            self._is_open = True
            unsent, self._unsent = self._unsent, []
            self._send(b"".join(unsent))
            while self._queue or not self._is_retired:
                await self._read_answers()
        except (redis.RedisError, OSError) as broken:
            error = broken
        finally:  # also if the loop ends, which cancels its tasks
            if not self._loop.is_closed():
                self._close(error)
                await self._connection.disconnect(nowait=True)

    async def _read_answers(self) -> None:
        """Read the answers to whoever is next; while nobody waits, notice that the server closes it."""
        answers = [await self._read()]
        if not self._queue:
            raise redis.InvalidResponse("Nobody has asked for this answer.")
        place = self._queue[0]
        while len(answers) < place.expected:
            answers.append(await self._read())
        self._queue.popleft()
        if not place.answers.done():
            place.answers.set_result(answers)

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=False)  # see _run
        except redis.ResponseError as refusal:
            return refusal

    def _look(self) -> None:
        """End the wait of a request whose time is over.

        The clock counts these calls, not seconds: after something else has kept the loop busy, the answers
        that have arrived in the meantime are read first.
        """
        self._timer = None
        self._clock += 1
        if not self._queue:
            return
        if self._clock - self._queue[0].since > PARTS:
            self._close(redis.TimeoutError("No answer in time."))
            self._task.cancel()
        else:
            self._timer = self._loop.call_later(self._tick, self._look)

    def _close(self, error: Exception) -> None:
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            answers = self._queue.popleft().answers
            if not answers.done():
                answers.set_exception(error)
