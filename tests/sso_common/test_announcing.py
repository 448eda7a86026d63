"""A sign-in at the portal is a login at each site: it sends ``user_logged_in`` and sets ``last_login``."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.test.utils import CaptureQueriesContext

from sso_common import conf, flows, store, testing
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware, user_flow
from sso_common.users import upsert_users
from tests.databases import ALIAS, real_database
from tests.servers import ValkeyServer

from .sessions.variants import ask_then
from .tools import counted_commands, counted_trips, end, expire_in, request_with, sign_in, token_of

# Not in a transaction: async code uses other database connections.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

HOUR = 3600

#: Visits a page and returns the response.
Visit = Callable[[str], Awaitable[Any]]


@pytest.fixture
def received() -> Iterator[list[dict[str, Any]]]:
    """The arguments of each ``user_logged_in``."""
    calls: list[dict[str, Any]] = []

    def receive(sender: Any, **kwargs: Any) -> None:
        calls.append({"sender": sender, **kwargs})

    user_logged_in.connect(receive)
    yield calls
    user_logged_in.disconnect(receive)


@pytest.fixture(params=["sync", "async"])
def visit(request: pytest.FixtureRequest) -> Visit:
    """A browser in which Anna is signed in."""
    if request.param == "async":
        browser = AsyncClient(raise_request_exception=False)
        testing.sign_in(browser, "anna")
        return lambda path: browser.get(f"/async{path}")
    client = Client(raise_request_exception=False)
    testing.sign_in(client, "anna")
    return sync_to_async(client.get)


def names(received: list[dict[str, Any]]) -> list[str]:
    return [call["user"].get_username() for call in received]


@pytest.fixture
def failing() -> Iterator[None]:
    """A receiver of the site that always fails."""

    def fail(sender: Any, **kwargs: Any) -> None:
        raise ValueError("of a receiver")

    user_logged_in.connect(fail)
    yield
    user_logged_in.disconnect(fail)


# --- once for each session and site ------------------------------------------------------------


async def test_first_request_of_a_session_announces_the_user(visit: Visit, received: list[Any]) -> None:
    response = await visit("/user/")

    assert response.content == b"anna"
    (call,) = received
    assert call["sender"] is User
    assert call["user"].get_username() == "anna"
    assert call["user"].backend == "sso_common.backends.SSOBackend"
    assert call["request"].user.get_username() == "anna"


async def test_later_requests_announce_nobody(visit: Visit, received: list[Any]) -> None:
    await visit("/user/")
    for path in ("/user/", "/private/", "/put/?a=1", "/user/"):
        await visit(path)

    assert names(received) == ["anna"]


async def test_each_session_announces_the_user(visit: Visit, received: list[Any]) -> None:
    await visit("/user/")
    other = Client()
    testing.sign_in(other, "anna")

    await sync_to_async(other.get)("/user/")

    assert names(received) == ["anna", "anna"]


async def test_last_login_is_set_once_a_session(visit: Visit) -> None:
    await visit("/user/")
    first = (await User.objects.aget()).last_login
    assert first is not None

    await visit("/user/")

    assert (await User.objects.aget()).last_login == first


async def test_page_that_reads_only_the_session_announces_nobody(visit: Visit, received: list[Any]) -> None:
    for path in ("/put/?a=1", "/identity/"):
        await visit(path)
    assert received == []

    await visit("/user/")

    assert names(received) == ["anna"]


async def test_data_of_the_session_is_no_announcement(visit: Visit, received: list[Any]) -> None:
    """A cart that was saved before the first request that needs the user."""
    await visit("/put/?cart=mug")
    await visit("/user/")
    await visit("/user/")

    assert names(received) == ["anna"]


def test_two_sites_announce_the_user_each(client: Client, received: list[Any], settings, valkey) -> None:
    testing.sign_in(client, "anna", sites={"site_a": [], "site_b": []})
    client.get("/user/")

    settings.SSO_DSN = testing.make_dsn("site_b", valkey.url)
    client.get("/user/")
    client.get("/user/")

    assert names(received) == ["anna", "anna"]


def test_concurrent_first_requests_announce_a_user_once(received: list[Any]) -> None:
    token = sign_in("anna")
    slow, fast = arrived(request_with(token)), arrived(request_with(token))

    flows.run(user_flow(slow), ask_then(lambda: str(fast.user)))

    assert names(received) == ["anna"]
    assert received[0]["request"] is fast


def test_concurrent_readers_of_one_request_announce_its_user_once(received: list[Any]) -> None:
    request = arrived(request_with(sign_in("anna")))

    flows.run(user_flow(request), ask_then(lambda: str(request.user)))

    assert names(received) == ["anna"]


def test_refused_user_is_not_announced(client: Client, received: list[Any]) -> None:
    testing.sign_in(client, "anna", is_active=False)

    assert client.get("/user/").content == b"nobody"

    assert received == []


def test_local_login_is_announced_by_django_alone(client: Client, received: list[Any]) -> None:
    testing.sign_in(client, "anna")
    client.get("/user/")
    User.objects.create_user("local")

    client.get("/local-login/?username=local")
    client.get("/user/")

    assert names(received) == ["anna", "local"]


def test_flushed_session_announces_the_user_again(client: Client, received: list[Any]) -> None:
    """In stock Django, a flush logs a user out, and the next login is announced."""
    testing.sign_in(client, "anna")
    client.get("/user/")
    client.get("/flush/")

    client.get("/user/")

    assert names(received) == ["anna", "anna"]


# --- what it costs -----------------------------------------------------------------------------


async def test_announcing_costs_one_round_trip(visit: Visit) -> None:
    store.run(store.announce_once(sign_in("bert").sid, HOUR))  # Redis caches the script
    with counted_trips() as first:
        await visit("/user/")
    with counted_trips() as later:
        await visit("/user/")

    assert (len(first), len(later)) == (2, 1)


def test_announcing_and_extending_costs_one_round_trip(client: Client) -> None:
    store.run(store.announce_once(sign_in("bert").sid, HOUR))  # Redis caches the script
    testing.sign_in(client, "anna")
    expire_in(token_of(client), HOUR)

    with counted_trips() as trips:
        client.get("/user/")

    assert len(trips) == 2
    assert store.client().ttl(store.identity_key(conf.dsn().namespace, token_of(client).sid)) > HOUR


def test_later_requests_write_nothing(client: Client, valkey: ValkeyServer) -> None:
    testing.sign_in(client, "anna")
    client.get("/user/")

    with counted_commands(valkey.admin) as calls, CaptureQueriesContext(connection) as queries:
        client.get("/user/")

    assert calls == {"get": 1, "pttl": 1, "hgetall": 1}
    assert len(queries) == 1


# --- receivers ---------------------------------------------------------------------------------


async def test_failing_receiver_spoils_neither_response_nor_last_login(
    visit: Visit, failing: None, received: list[Any], caplog
) -> None:
    response = await visit("/user/")

    assert (response.status_code, response.content) == (200, b"anna")
    assert names(received) == ["anna"]
    assert (await User.objects.aget()).last_login is not None
    assert "of a receiver" in caplog.text


def fail_to_save(alias: str) -> None:
    User(pk=-1).save(using=alias, update_fields=["last_login"])  # Django marks the transaction for a rollback


def fail_to_query(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")  # PostgreSQL accepts no more queries


@pytest.mark.parametrize("fail", [fail_to_save, fail_to_query])
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_failing_receiver_does_not_break_the_transaction_of_the_request(
    kind: str, fail: Callable[[str], None], request: pytest.FixtureRequest, tmp_path: Path, caplog
) -> None:
    """Otherwise the request would fail, be announced again, and so would all that follow."""
    address = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{tmp_path}/db"

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic(using=ALIAS):  # as ATOMIC_REQUESTS does
            assert request.user.is_authenticated
            return HttpResponse(str(User.objects.count()))

    def receive(sender: Any, **kwargs: Any) -> None:
        fail(ALIAS)

    user_logged_in.connect(receive)
    try:
        with real_database(address):
            response = site(view)(request_with(sign_in("anna")))
    finally:
        user_logged_in.disconnect(receive)

    assert response.content == b"1"
    assert "receive" in caplog.text


async def test_receivers_may_block_and_use_session_and_database(visit: Visit) -> None:
    seen: list[tuple[str, int]] = []

    def receive(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
        request.session["greeted"] = user.pk
        seen.append((User.objects.get(pk=user.pk).username, threading.get_ident()))

    user_logged_in.connect(receive)
    try:
        await visit("/user/")
    finally:
        user_logged_in.disconnect(receive)

    assert [name for name, _ in seen] == ["anna"]
    assert (await visit("/put/?a=1")).json().keys() == {"greeted", "a"}


async def test_async_receivers_are_called(visit: Visit) -> None:
    seen: list[str] = []

    async def receive(sender: Any, user: User, **kwargs: Any) -> None:
        seen.append((await User.objects.aget(pk=user.pk)).username)

    user_logged_in.connect(receive)
    try:
        await visit("/user/")
    finally:
        user_logged_in.disconnect(receive)

    assert seen == ["anna"]


async def test_async_request_runs_receivers_outside_the_event_loop() -> None:
    threads: list[int] = []

    def receive(sender: Any, **kwargs: Any) -> None:
        threads.append(threading.get_ident())

    browser = AsyncClient()
    await sync_to_async(testing.sign_in)(browser, "anna")
    user_logged_in.connect(receive)
    try:
        await browser.get("/async/user/")
    finally:
        user_logged_in.disconnect(receive)

    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_receiver_may_sign_the_user_out(client: Client) -> None:
    def receive(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
        logout(request)

    testing.sign_in(client, "anna")
    user_logged_in.connect(receive)
    try:
        response = client.get("/user/")
    finally:
        user_logged_in.disconnect(receive)

    assert response.content == b"nobody"
    assert client.get("/user/").content == b"nobody"


# --- what goes wrong ---------------------------------------------------------------------------


def test_failed_request_is_announced_again_because_its_transaction_was_rolled_back(
    received: list[Any],
) -> None:
    token = sign_in("anna")

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            assert request.user.is_authenticated
            transaction.set_rollback(True)
        return HttpResponse(status=500)

    assert site(view)(request_with(token)).status_code == 500
    assert not User.objects.exists()

    assert site(lambda request: HttpResponse(str(request.user)))(request_with(token)).content == b"anna"

    assert names(received) == ["anna", "anna"]
    assert User.objects.get().last_login is not None


async def test_failed_async_request_is_announced_again(received: list[Any]) -> None:
    token = await sync_to_async(sign_in)("anna")

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(await request.auser()), status=500)  # type: ignore[attr-defined]

    factory = AsyncRequestFactory()
    factory.cookies[conf.dsn().cookie_name] = token.value
    for _ in range(2):
        await SessionMiddleware(AuthenticationMiddleware(view))(factory.get("/"))

    assert names(received) == ["anna", "anna"]


def test_redis_that_takes_no_writes_spoils_no_page(
    client: Client, valkey: ValkeyServer, received: list[Any], caplog
) -> None:
    testing.sign_in(client, "anna")
    client.get("/show/")
    valkey.admin.config_set("maxmemory", "1")
    try:
        response = client.get("/user/")
    finally:
        valkey.admin.config_set("maxmemory", "0")

    assert (response.status_code, response.content) == (200, b"anna")
    assert received == []
    assert "Sign-in not announced" in caplog.text
    client.get("/user/")
    assert names(received) == ["anna"]


def test_session_that_ends_during_the_request_is_not_announced(received: list[Any]) -> None:
    token = sign_in("anna")
    request = arrived(request_with(token))

    flows.run(user_flow(request), ask_then(lambda: end(token)))

    assert received == []
    assert store.client().keys("*site:*") == []


def test_sync_never_overwrites_last_login(client: Client) -> None:
    identity = testing.sign_in(client, "anna")
    client.get("/user/")
    before = User.objects.get().last_login
    assert before is not None

    for mode in ("newer", "repair", "force"):
        version = identity.user.version + 1
        upsert_users([replace(identity.user, version=version, first_name=mode)], mode=mode)

    user = User.objects.get()
    assert (user.first_name, user.last_login) == ("force", before)


def arrived(request: HttpRequest) -> Any:
    """A request as a view gets it."""
    for middleware in (SessionMiddleware, AuthenticationMiddleware):
        middleware(lambda _: HttpResponse()).process_request(request)
    return request


def site(view: Callable[[HttpRequest], HttpResponse]) -> SessionMiddleware:
    """A site with one page."""
    return SessionMiddleware(AuthenticationMiddleware(view))
