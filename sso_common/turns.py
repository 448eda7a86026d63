"""A lock that threads and coroutines share, so that one of them at a time uses a session."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from typing import Any


class Turn:
    """Whoever has the turn goes ahead; the others wait, threads in their thread and coroutines on their loop.

    Sync code that is called on the event loop of the coroutine that has the turn does not wait: that
    coroutine could not go on. Whoever has the turn may take it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The task, or the number of the thread, that has the turn.
        self._holder: Any = None
        self._depth = 0
        self._waiting: deque[Future[None]] = deque()

    def take(self) -> None:
        """Wait for the turn in a thread."""
        while (called := self._take(threading.get_ident())) is not None:
            called.result()

    async def atake(self) -> None:
        """Wait for the turn in a coroutine."""
        while (called := self._take(asyncio.current_task())) is not None:
            await asyncio.wrap_future(called)

    def leave(self) -> None:
        """Let the others go ahead, in a thread."""
        self._leave(threading.get_ident())

    def aleave(self) -> None:
        """Let the others go ahead, in a coroutine. Does nothing if it was cancelled while it waited."""
        self._leave(asyncio.current_task())

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *error: object) -> None:
        self._leave(threading.get_ident())

    async def __aenter__(self) -> None:
        await self.atake()

    async def __aexit__(self, *error: object) -> None:
        self.aleave()

    def _take(self, me: Any) -> Future[None] | None:
        """Take the turn, or return what is done when it is worth another try."""
        if self._lock.acquire(False):
            self._holder, self._depth = me, 1
            return None
        if self._is(me):
            self._depth += 1
            return None
        called: Future[None] = Future()
        self._waiting.append(called)
        # It may have been left just before that, when nobody seemed to wait.
        if self._lock.acquire(False):
            self._holder, self._depth = me, 1
            return None
        return called

    def _leave(self, me: Any) -> None:
        if me != self._holder and not self._is(me):
            return
        self._depth -= 1
        if self._depth:
            return
        self._holder = None
        self._lock.release()
        while self._waiting:
            with contextlib.suppress(IndexError):  # another thread has called them
                called = self._waiting.popleft()
                if called.set_running_or_notify_cancel():
                    called.set_result(None)

    def _is(self, me: Any) -> bool:
        """Whether a thread or task has the turn, or is sync code on the loop of the task that has it."""
        holder = self._holder  # another thread may change it
        if me == holder:
            return True
        if isinstance(holder, asyncio.Task) and not isinstance(me, asyncio.Task):
            return is_running(holder.get_loop())
        return False


def is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this thread runs an event loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
