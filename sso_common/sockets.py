"""An open WebSocket that is examined from time to time, and closed once its user is not signed in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from django.db import DatabaseError

from .exceptions import Unavailable

logger = logging.getLogger("sso_common.channels")

Message = MutableMapping[str, Any]

#: The code with which a socket is closed whose user is not signed in any more, after HTTP's 401.
SIGNED_OUT: Final = 4401


class WatchedSocket:
    """The ``receive`` and ``send`` of a socket, for the application behind it.

    ``is_valid`` is asked once in ``seconds``, while the application waits for a message or before it gets
    one. If it says no, the browser's end is closed, and the application is told that the browser left.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        is_valid: Callable[[], Awaitable[bool]],
        seconds: float,
    ) -> None:
        self._receive, self._send = receive, send
        self._is_valid, self._seconds = is_valid, seconds
        self._due = asyncio.get_running_loop().time() + seconds
        self._next: asyncio.Future[Message] | None = None
        #: The code with which this end has closed the socket, or 0.
        self._code = 0

    def is_closed(self) -> bool:
        """Whether this end has closed the socket."""
        return self._code != 0

    async def receive(self) -> Message:
        """The next message. None is lost if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        while not self.is_closed():
            if self._next is None:
                self._next = asyncio.ensure_future(self._receive())
            await asyncio.wait({self._next}, timeout=max(0, self._due - loop.time()))
            if self.is_closed():
                break
            has_left = self._next.done() and self._next.result()["type"] == "websocket.disconnect"
            if loop.time() >= self._due and not has_left:
                await self._examine()
            elif self._next.done():
                message, self._next = self._next.result(), None
                return message
        return {"type": "websocket.disconnect", "code": self._code}

    async def send(self, message: Message) -> None:
        """Send a message, unless the socket was closed."""
        if self.is_closed():
            return
        if message["type"] == "websocket.close":
            self._code = message.get("code", 1000)
            self.end()  # Granian closes no socket while something waits for a message
        await self._send(message)

    def end(self) -> None:
        """Stop waiting for messages."""
        if self._next is not None:
            self._next.cancel()

    async def _examine(self) -> None:
        try:
            is_valid = await self._is_valid()
        except (Unavailable, DatabaseError) as error:
            logger.warning("A WebSocket could not be examined: %s", error)
            is_valid = True  # unavailable is not signed out
        self._due = asyncio.get_running_loop().time() + self._seconds
        if not is_valid:
            await self.send({"type": "websocket.close", "code": SIGNED_OUT, "reason": "signed out"})
