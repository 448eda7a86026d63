"""Flows: decisions without I/O, shared by sync and async code.

A flow is a generator. It yields a list of Redis commands, or a function that may block (a query, a
hook of the site); it receives the answer, or the exception, and in the end returns its result. What to
do next is decided once, in the flow. ``run`` and ``arun`` carry it out.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from asgiref.sync import sync_to_async

P = ParamSpec("P")
T = TypeVar("T")

Command = tuple[Any, ...]
Commands = Sequence[Command]
Flow = Generator[Commands | Callable[[], Any], Any, T]


def call(function: Callable[[], Any]) -> Any:
    """Carry out a step that is a function."""
    return function()


async def acall(function: Callable[[], Any]) -> Any:
    """``call`` for async code: in a thread, because the function may block."""
    return await sync_to_async(function)()


def run(
    flow: Generator[Any, Any, T],
    ask: Callable[[Any], Any],
    call: Callable[[Callable[[], Any]], Any] = call,
) -> T:
    """Carry out a flow and return its result. ``ask`` carries out each step that is not a function."""
    proceed: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            step = proceed(value)
            try:
                value = call(step) if callable(step) else ask(step)
                proceed = flow.send
            except Exception as error:  # noqa: BLE001  the flow decides what to do about it
                proceed, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result


async def arun(
    flow: Generator[Any, Any, T],
    ask: Callable[[Any], Awaitable[Any]],
    call: Callable[[Callable[[], Any]], Awaitable[Any]] = acall,
) -> T:
    """``run`` for async code. Nothing here blocks the event loop."""
    proceed: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            step = proceed(value)
            try:
                value = await (call(step) if callable(step) else ask(step))
                proceed = flow.send
            except Exception as error:  # noqa: BLE001  as above
                proceed, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result


class Runner(Protocol):
    """An object that carries out flows."""

    def run(self, flow: Flow[T]) -> T: ...
    async def arun(self, flow: Flow[T]) -> T: ...


R = TypeVar("R", bound=Runner)


def both(
    flow: Callable[Concatenate[R, P], Flow[T]],
) -> tuple[Callable[Concatenate[R, P], T], Callable[Concatenate[R, P], Coroutine[Any, Any, T]]]:
    """The sync and the async method that carry out a flow: ``save, asave = both(save_flow)``.

    They carry out the flow of this name that the object has: that of a subclass, if it overrides the flow.
    """
    name = flow.__name__

    @functools.wraps(flow)
    def method(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        own: Flow[T] = getattr(self, name)(*args, **kwargs)
        return self.run(own)

    @functools.wraps(flow)
    async def async_method(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        own: Flow[T] = getattr(self, name)(*args, **kwargs)
        return await self.arun(own)

    method.__name__ = flow.__name__.removesuffix("_flow")
    async_method.__name__ = f"a{method.__name__}"
    return method, async_method
