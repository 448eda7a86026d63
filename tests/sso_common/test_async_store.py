"""The store of an event loop: no thread, one connection for all requests, and never another's answer."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, override_settings

from sso_common import conf, store, testing
from sso_common.exceptions import StoreRefused, StoreUnavailable
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.sessions import SessionStore
from sso_common.store.outage import Outage
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import counted_trips, in_child, sign_in
from tests.timing import WAIT, Try, tries_within

pytestmark = pytest.mark.usefixtures("valkey")

SAVES = "a", "b", "c"


@pytest.fixture
def token(valkey: ValkeyServer) -> SessionToken:
    return sign_in("anna")


def request_of(token: SessionToken) -> HttpRequest:
    factory = AsyncRequestFactory()
    factory.cookies[conf.dsn().cookie_name] = token.value
    return factory.get("/")


async def username_of(token: SessionToken) -> str:
    session = SessionStore(token=token)
    await session.aresolve()
    assert session.identity is not None
    return session.identity.user.username


def connections(valkey: ValkeyServer) -> set[str]:
    """The ids of all connections."""
    return {each["id"] for each in valkey.admin.client_list()}


# --- no thread -----------------------------------------------------------------------------------


async def test_async_request_uses_no_thread(token: SessionToken, monkeypatch: pytest.MonkeyPatch) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        identity = await request.asso()
        await request.session.aset("seen", await request.session.aget("seen", 0) + 1)
        return HttpResponse(identity.user.username)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a thread was used")

    site = SessionMiddleware(AuthenticationMiddleware(view))
    first, second = request_of(token), request_of(token)
    monkeypatch.setattr(threading.Thread, "start", fail)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", fail)
    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", fail)

    assert (await site(first)).content == b"anna"  # extends the idle timeout as well
    assert (await site(second)).content == b"anna"
    assert await SessionStore(token=token).aget("seen") == 2
    assert await request_of_nobody(site)


async def request_of_nobody(site: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> bool:
    """A visitor without cookies, who gets an anonymous session."""

    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aset("cart", "mug")
        return HttpResponse()

    response = await SessionMiddleware(view)(AsyncRequestFactory().get("/"))
    return "__Host-session" in response.cookies


async def test_busy_threads_delay_no_async_request(token: SessionToken) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    release = threading.Event()
    busy = [
        asyncio.create_task(asyncio.to_thread(release.wait)),
        asyncio.create_task(sync_to_async(release.wait)()),
        asyncio.create_task(sync_to_async(release.wait, thread_sensitive=False)()),
    ]
    await asyncio.sleep(0)

    try:
        session = SessionStore(token=token)
        await asyncio.wait_for(session.aset("a", 1), WAIT)
        await asyncio.wait_for(session.asave(), WAIT)
    finally:
        release.set()
    await asyncio.gather(*busy)

    assert await SessionStore(token=token).aget("a") == 1


async def test_async_request_does_not_block_the_event_loop(token: SessionToken) -> None:
    with counted_trips() as trips:
        assert await username_of(token) == "anna"

    assert len(trips) == 1
    assert not trips.threads


# --- one connection ------------------------------------------------------------------------------


async def test_a_thousand_concurrent_requests_share_one_connection(
    token: SessionToken, valkey: ValkeyServer
) -> None:
    before = connections(valkey)

    names = await asyncio.gather(*(username_of(token) for _ in range(1000)))

    assert set(names) == {"anna"}
    assert len(connections(valkey) - before) == 1


def test_each_loop_has_its_own_connection_and_closes_it_in_the_end(
    token: SessionToken, valkey: ValkeyServer
) -> None:
    before = connections(valkey)

    for _ in range(3):
        assert asyncio.run(username_of(token)) == "anna"

    gc.collect()  # an unclosed connection would be a warning, and so an error
    assert connections(valkey) <= before


def test_loops_in_several_threads_do_not_share_connections(token: SessionToken, valkey: ValkeyServer) -> None:
    before = connections(valkey)
    made: set[str] = set()
    all_connected = threading.Barrier(4, lambda: made.update(connections(valkey) - before))

    async def use() -> None:
        assert await username_of(token) == "anna"
        all_connected.wait(WAIT)
        for _ in range(20):
            assert set(await asyncio.gather(*(username_of(token) for _ in range(10)))) == {"anna"}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: asyncio.run(use()), range(4)))

    assert len(made) == 4


def test_a_loop_of_one_call_makes_no_connection(token: SessionToken, valkey: ValkeyServer) -> None:
    """As in an async view under WSGI: to connect would take longer than the request."""
    SessionStore(token=token).load()
    before = valkey.admin.info("stats")["total_connections_received"]

    with counted_trips() as trips:
        assert async_to_sync(username_of)(token) == "anna"

    assert len(trips) == 1
    assert valkey.admin.info("stats")["total_connections_received"] == before


def test_a_loop_of_one_call_does_not_wait_for_the_thread_that_waits_for_it(token: SessionToken) -> None:
    """Functions of the view run in that thread, and look at the session while a coroutine reads it."""

    async def view() -> list[object]:
        session = SessionStore(token=token)
        looks = (sync_to_async(lambda: session.identity)() for _ in range(3))
        return await asyncio.wait_for(asyncio.gather(session.aget("a"), *looks, session.aresolve()), WAIT)

    assert None not in async_to_sync(view)()[1:4]


# --- never another's answer ----------------------------------------------------------------------


async def test_cancelled_request_leaves_its_answer_to_nobody(valkey: ValkeyServer) -> None:
    """Cancelled at each point at which it waits, alone and beside others."""
    tokens = {f"user{number}": await sync_to_async(sign_in)(f"user{number}") for number in range(4)}
    for steps in range(40):
        cancelled = asyncio.create_task(username_of(tokens["user0"]))
        others = [asyncio.create_task(username_of(token)) for token in tokens.values()]
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled.cancel()

        assert await asyncio.gather(*others) == list(tokens)
        await asyncio.gather(cancelled, return_exceptions=True)
        assert await asyncio.gather(*map(username_of, tokens.values())) == list(tokens)


async def test_cancelled_first_request_does_not_break_the_connection_for_others(
    token: SessionToken, valkey: ValkeyServer
) -> None:
    before = connections(valkey)
    first = asyncio.create_task(username_of(token))
    await asyncio.sleep(0)
    first.cancel()

    assert await username_of(token) == "anna"

    assert first.cancelled()
    assert len(connections(valkey) - before) == 1


async def test_requests_that_are_cancelled_at_random_never_mix_up_visitors(valkey: ValkeyServer) -> None:
    tokens = {f"user{number}": await sync_to_async(sign_in)(f"user{number}") for number in range(20)}
    dice = random.Random(1)

    async def visit(name: str) -> None:
        assert await username_of(tokens[name]) == name

    for _ in range(30):
        visits = [asyncio.create_task(visit(name)) for name in dice.choices(list(tokens), k=50)]
        for each in dice.sample(visits, 25):
            await asyncio.sleep(0)
            each.cancel()
        for result in await asyncio.gather(*visits, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)


async def test_cancelled_save_is_whole_or_not_at_all(token: SessionToken) -> None:
    for steps in range(30):
        session = SessionStore(token=token)
        await session.aupdate(dict.fromkeys(SAVES, steps))
        save = asyncio.create_task(session.asave())
        for _ in range(steps):
            await asyncio.sleep(0)
        save.cancel()
        await asyncio.gather(save, return_exceptions=True)

        data = dict(await SessionStore(token=token).aitems())
        assert len({data.get(name) for name in SAVES}) == 1


async def test_a_refusal_is_no_answer_of_the_next_request(token: SessionToken, valkey: ValkeyServer) -> None:
    refused, answered = await asyncio.gather(
        store.aask([("NO-SUCH-COMMAND",), ("ECHO", "1"), ("ECHO",)]), store.aask([("ECHO", "2")])
    )

    assert refused[1] == b"1"
    assert isinstance(refused[0], Exception)
    assert isinstance(refused[2], Exception)
    assert answered == [b"2"]


async def test_an_answer_that_nobody_asked_for_ends_the_connection(
    token: SessionToken, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong, the next request must not take it for its own."""
    assert await username_of(token) == "anna"
    link = await link_of_this_loop()

    link._writer.write(b"*2\r\n$4\r\nECHO\r\n$5\r\nstray\r\n")
    await asyncio.wait({link._task})

    assert await username_of(token) == "anna"
    assert await link_of_this_loop() is not link


async def link_of_this_loop() -> Any:
    from sso_common.store.loops import own_server

    return own_server()._link


# --- failures ------------------------------------------------------------------------------------


async def test_restarted_server_is_asked_again(token: SessionToken, valkey: ValkeyServer) -> None:
    assert await store.aask([("ECHO", "1")]) == [b"1"]

    await asyncio.to_thread(valkey.restart)

    assert await store.aask([("ECHO", "2")]) == [b"2"]


async def test_connection_that_breaks_while_many_wait_is_replaced_by_one(
    token: SessionToken, valkey: ValkeyServer
) -> None:
    await username_of(token)
    link = await link_of_this_loop()
    kill = asyncio.create_task(link.ask([("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")]))
    visits = asyncio.gather(*(username_of(token) for _ in range(50)))
    await asyncio.gather(kill, return_exceptions=True)

    assert set(await visits) == {"anna"}
    assert len(connections(valkey)) == 2  # with the operator's


def test_time_out_of_an_async_request_counts_for_threads_and_loops(
    token: SessionToken, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "PAUSE", 60)
    valkey.pause()

    with pytest.raises(StoreUnavailable, match="Timeout"):
        asyncio.run(store.aask([("ECHO", "1")]))

    with pytest.raises(StoreUnavailable, match="recent"):
        store.ask([("ECHO", "1")])
    with pytest.raises(StoreUnavailable, match="recent"):
        asyncio.run(store.aask([("ECHO", "1")]))


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_hundred_requests_wait_no_longer_than_one(valkey: ValkeyServer, is_connected: bool) -> None:
    async def ask(attempt: Try) -> list[Any]:
        if is_connected:
            await store.aask([("ECHO", "1")])
        valkey.pause()
        with attempt:
            return await asyncio.gather(
                *(store.aask([("ECHO", "1")]) for _ in range(100)), return_exceptions=True
            )

    for attempt in tries_within(1.5):
        store.outage.end()
        results = asyncio.run(ask(attempt))
        valkey.resume()
        assert {type(each) for each in results} == {StoreUnavailable}


async def test_loop_that_something_else_keeps_busy_is_no_outage(token: SessionToken) -> None:
    """Its timers are due before the answers are read, which have arrived in the meantime."""
    await username_of(token)
    (await link_of_this_loop())._tick = 0
    visit = asyncio.create_task(username_of(token))
    await asyncio.sleep(0)

    store.ping()  # blocks the loop until Redis has answered both

    assert await visit == "anna"


def test_refused_login_is_unavailable(valkey: ValkeyServer) -> None:
    text = testing.make_dsn("site_a", valkey.url.replace("of-the-tests", "wrong"))
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}), pytest.raises(StoreUnavailable):
        asyncio.run(store.aask([("ECHO", "1")]))


async def test_refused_command_is_unavailable(token: SessionToken, valkey: ValkeyServer) -> None:
    valkey.admin.execute_command("ACL SETUSER", "default", "-get")
    session = SessionStore(token=token)

    with pytest.raises(StoreRefused):
        await session.aresolve()

    valkey.admin.execute_command("ACL SETUSER", "default", "+@all")
    assert session.unavailable is not None


# --- fork ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the child uses only this thread
def test_child_process_leaves_the_connections_of_its_parents_loop_alone(token: SessionToken) -> None:
    with asyncio.Runner() as runner:
        mine = runner.run(store.aask([("CLIENT", "ID")]))

        theirs = int(in_child(lambda: asyncio.run(store.aask([("CLIENT", "ID")]))[0]))

        assert [theirs] != mine
        assert runner.run(store.aask([("CLIENT", "ID")])) == mine


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_child_process_of_a_running_loop_leaves_its_connections_alone(token: SessionToken) -> None:
    mine = await store.aask([("CLIENT", "ID")])

    theirs = int(in_child(lambda: asyncio.run(store.aask([("CLIENT", "ID")]))[0]))

    assert [theirs] != mine
    assert await store.aask([("CLIENT", "ID")]) == mine
