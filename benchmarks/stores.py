"""``SessionStore`` against Django's cache sessions, in one process.

In: a ``World``. Out: a ``Ratio`` of the time of each load and save, in seconds a call. A load goes
from the cookie's value to a value of the session; ours includes the proof of who is signed in, which
stock does later, in ``request.user``.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from .pairs import Effort, Ratio, compare
from .world import SESSIONS, TYPICAL, World

CALLS = 20  # in one turn, of which the median counts: a call that was interrupted says nothing


def measure(world: World, effort: Effort) -> Iterator[tuple[str, Ratio]]:
    """Yield each comparison with its name."""
    for size in SESSIONS:
        our_key, stock_key = world.anonymous_keys[size]
        signed_in = functools.partial(_ours, token=world.tokens[size])
        stock = functools.partial(_stock, world.stock_keys[size])
        anonymous, stock_anonymous = functools.partial(_ours, our_key), functools.partial(_stock, stock_key)
        for who, ours, theirs in (
            ("signed in", signed_in, stock),
            ("anonymous", anonymous, stock_anonymous),
        ):
            yield f"load, {who}, {size}", compare(_loads(ours), _loads(theirs), effort)
            yield f"save, {who}, {size}", compare(_saves(ours()), _saves(theirs()), effort)
    with asyncio.Runner() as runner:
        ours = functools.partial(_ours, token=world.tokens[TYPICAL])
        theirs = functools.partial(_stock, world.stock_keys[TYPICAL])
        ratio = compare(lambda: runner.run(_aloads(ours)), lambda: runner.run(_aloads(theirs)), effort)
        yield f"async load, signed in, {TYPICAL}", ratio


def _ours(session_key: str | None = None, *, token: str | None = None) -> Any:
    from sso_common.sessions import SessionStore
    from sso_common.tokens import parse_token

    return SessionStore(session_key, token=parse_token(token) if token else None)


def _stock(session_key: str) -> Any:
    from django.contrib.sessions.backends.cache import SessionStore

    return SessionStore(session_key)


def _loads(make: Callable[[], Any]) -> Callable[[], float]:
    def load() -> None:
        assert make()["theme"] == "dark"

    return functools.partial(_time, load)


def _saves(session: Any) -> Callable[[], float]:
    assert session["theme"] == "dark"
    counter = itertools.count()

    def save() -> None:
        session["seen_at"] = f"number {next(counter)}"
        session.save()

    return functools.partial(_time, save)


def _time(call: Callable[[], None]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _aloads(make: Callable[[], Any]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        assert await make().aget("theme") == "dark"
        times.append(time.perf_counter() - began)
    return statistics.median(times)
