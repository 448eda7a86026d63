"""A lock for threads and coroutines: one at a time, and nobody waits for what cannot happen."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sso_common.turns import Turn
from tests.timing import WAIT


async def test_threads_and_coroutines_go_ahead_one_at_a_time() -> None:
    turn = Turn()
    inside: list[int] = []
    most = 0

    def note() -> None:
        nonlocal most
        most = max(most, len(inside))

    async def coroutine(number: int) -> None:
        for _ in range(20):
            async with turn:
                inside.append(number)
                await asyncio.sleep(0)
                note()
                inside.remove(number)

    def thread(number: int) -> None:
        for _ in range(20):
            with turn:
                inside.append(number)
                note()
                inside.remove(number)

    work = [coroutine(number) for number in range(5)]
    work += [asyncio.to_thread(thread, number) for number in range(5, 10)]
    await asyncio.wait_for(asyncio.gather(*work), WAIT)

    assert most == 1


async def use(turn: Turn) -> None:
    async with turn:
        await asyncio.sleep(0)


async def test_coroutine_that_is_cancelled_while_it_waits_does_not_keep_the_turn() -> None:
    turn = Turn()
    for steps in range(8):
        async with turn:
            waiting = asyncio.create_task(use(turn))
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        await asyncio.wait_for(use(turn), WAIT)


async def test_coroutine_that_is_cancelled_as_it_gets_the_turn_gives_it_back() -> None:
    turn = Turn()
    for steps in range(8):
        await turn.atake()
        waiting = [asyncio.create_task(use(turn)) for _ in range(3)]
        await asyncio.sleep(0)
        turn.aleave()
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting, timeout=WAIT)
        await asyncio.wait_for(use(turn), WAIT)


async def test_one_that_has_no_turn_cannot_end_that_of_another() -> None:
    turn = Turn()
    has_it, release = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        async with turn:
            has_it.set()
            await release.wait()

    task = asyncio.create_task(other())
    await has_it.wait()
    turn.aleave()

    late = asyncio.create_task(use(turn))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not late.done()
    release.set()
    await asyncio.wait_for(asyncio.gather(task, late), WAIT)


async def test_sync_code_on_the_loop_of_the_coroutine_that_has_the_turn_does_not_wait() -> None:
    turn = Turn()
    task = asyncio.create_task(use(turn))
    await asyncio.sleep(0)

    with turn:
        assert not task.done()
    await task

    await asyncio.wait_for(use(turn), WAIT)


@pytest.mark.parametrize("count", [2, 3])
def test_whoever_has_the_turn_may_take_it_again(count: int) -> None:
    turn = Turn()
    for _ in range(count):
        turn.take()
    got_it = threading.Event()
    thread = threading.Thread(target=lambda: (turn.take(), got_it.set()))
    thread.start()

    for _ in range(count):
        assert not got_it.is_set()
        turn.leave()

    assert got_it.wait(WAIT)
    thread.join()
