"""A session that carries out flows, for sync and for async code.

``resolving.ResolvingSession`` adds who is signed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.sessions.backends.base import SessionBase

from . import flows, store
from .exceptions import Unavailable
from .flows import Commands, Flow
from .turns import Turn

T = TypeVar("T")


class RunningSession(SessionBase):
    """One flow at a time uses the session, however many threads and coroutines of a request look at once."""

    #: Set once the store or the database could not say who is signed in: the response becomes a 503.
    unavailable: Unavailable | None = None

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._turn = Turn()

    def run(self, flow: Flow[T]) -> T:
        """Carry out a flow of this request. Raises ``Unavailable``.

        What was unavailable once stays so for the rest of the request. That bounds the request's
        time, and shows even where a view swallows the exception.
        """
        try:
            with self._turn:
                return flows.run(flow, self._ask, self._call)
        except Unavailable as error:
            self.unavailable = self.unavailable or error
            raise

    async def arun(self, flow: Flow[T]) -> T:
        """``run`` for async code."""
        try:
            async with self._turn:
                return await flows.arun(flow, self._aask, self._acall)
        except Unavailable as error:
            self.unavailable = self.unavailable or error
            raise

    def _call(self, function: Callable[[], Any]) -> Any:
        """Call a function that may wait for another thread, which in turn may look at this session."""
        self._turn.leave()
        try:
            return function()
        finally:
            self._turn.take()

    async def _acall(self, function: Callable[[], Any]) -> Any:
        self._turn.aleave()
        try:
            return await flows.acall(function)
        finally:
            await self._turn.atake()

    def _ask(self, commands: Commands) -> list[Any]:
        if self.unavailable is not None:
            raise self.unavailable
        return store.ask(commands)

    async def _aask(self, commands: Commands) -> list[Any]:
        if self.unavailable is not None:
            raise self.unavailable
        return await store.aask(commands)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._turn = Turn()
