"""Compares ``SessionStore`` with Django's cache sessions, in one process.

A load goes from the cookie to a session value. Ours includes the verification of the signed-in user,
which stock does later, in ``request.user``.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from .pairs import Effort, Ratio, compare
from .world import SESSIONS, TYPICAL, World

CALLS = 20  # per turn; the median counts, because a call may be interrupted
CONCURRENT = (10, 100, 1000)


def measure(world: World, effort: Effort) -> Iterator[tuple[str, Ratio]]:
    """Yield the name and the ratio of each comparison. Times are in seconds per call."""
    for size in SESSIONS:
        our_key, stock_key = world.anonymous_keys[size]
        for visitor, ours, theirs in (
            (
                "signed in",
                partial(our_session, token=world.tokens[size]),
                partial(stock_session, world.stock_keys[size]),
            ),
            ("anonymous", partial(our_session, our_key), partial(stock_session, stock_key)),
        ):
            yield f"load, {visitor}, {size}", compare(loads(ours), loads(theirs), effort)
            yield f"save, {visitor}, {size}", compare(saves(ours()), saves(theirs()), effort)
    with asyncio.Runner() as runner:
        ours = partial(our_session, token=world.tokens[TYPICAL])
        theirs = partial(stock_session, world.stock_keys[TYPICAL])
        ratio = compare(
            lambda: runner.run(time_async_loads(ours)), lambda: runner.run(time_async_loads(theirs)), effort
        )
        yield f"async load, signed in, {TYPICAL}", ratio
        less = replace(effort, seconds=effort.seconds / 2)
        for count in CONCURRENT:
            ratio = compare(
                lambda count=count: runner.run(time_concurrent_loads(ours, count)),
                lambda count=count: runner.run(time_concurrent_loads(theirs, count)),
                less,
            )
            yield f"async load, {count:,} at once", ratio


def our_session(session_key: str | None = None, *, token: str | None = None) -> Any:
    from sso_common.sessions import SessionStore
    from sso_common.tokens import parse_token

    return SessionStore(session_key, token=parse_token(token) if token else None)


def stock_session(session_key: str) -> Any:
    from django.contrib.sessions.backends.cache import SessionStore

    return SessionStore(session_key)


def loads(make: Callable[[], Any]) -> Callable[[], float]:
    def load() -> None:
        assert make()["theme"] == "dark"

    return partial(median_time, load)


def saves(session: Any) -> Callable[[], float]:
    assert session["theme"] == "dark"
    counter = itertools.count()

    def save() -> None:
        session["seen_at"] = f"number {next(counter)}"
        session.save()

    return partial(median_time, save)


def median_time(call: Callable[[], None]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def time_async_loads(make: Callable[[], Any]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        assert await make().aget("theme") == "dark"
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def time_concurrent_loads(make: Callable[[], Any], count: int) -> float:
    """Seconds per load, where so many requests load a session at the same time."""
    began = time.perf_counter()
    values = await asyncio.gather(*(make().aget("theme") for _ in range(count)))
    taken = time.perf_counter() - began
    assert set(values) == {"dark"}
    return taken / count
