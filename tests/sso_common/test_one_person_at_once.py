"""One request has one person, also where several threads and coroutines of it use the session at once."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import aget_user, get_user, login
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from sso_common import channels, conf, store, testing
from sso_common.exceptions import StoreUnavailable
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.models import Account
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.sso_common.tools import has_identity, request_with, session_data, sign_in, token_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def slow_hook(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    """An adoption that takes longer than the one before it, so that the later of two ends later."""
    hooks.append(1)
    time.sleep(0.05 * len(hooks))
    return anonymous


hooks: list[int] = []


@pytest.fixture
def newcomer(settings: Any) -> tuple[SessionToken, str]:
    """The token of a user who has just signed in, and the key of the cart from before."""
    hooks.clear()
    settings.SSO_ADOPT_SESSION = f"{__name__}.slow_hook"
    anonymous = SessionStore()
    anonymous["cart"] = "mug"
    anonymous.save()
    return sign_in("ben"), str(anonymous.session_key)


async def test_a_change_beside_a_slow_adoption_is_not_lost(newcomer: tuple[SessionToken, str]) -> None:
    token, key = newcomer
    session = SessionStore(key, token=token)

    await asyncio.gather(session.aset("x", 1), session.aget("cart"))

    assert await session.aget("x") == 1
    assert await session.aget("cart") == "mug"


async def test_a_sign_out_beside_a_slow_adoption_is_final(newcomer: tuple[SessionToken, str]) -> None:
    token, key = newcomer
    session = SessionStore(key, token=token)

    await asyncio.gather(session.asign_out(), session.aget("cart"))

    assert session.identity is None


def request_of(token: SessionToken, key: str, method: str = "GET") -> HttpRequest:
    cookie = f"{conf.dsn().cookie_name}={token.value}; __Host-session={key}"
    return RequestFactory(headers={"cookie": cookie}).generic(method, "/")


def test_a_login_beside_a_slow_adoption_prevails(newcomer: tuple[SessionToken, str]) -> None:
    eve = User.objects.create_user("eve")
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        readers = [threading.Thread(target=lambda: request.session.get("cart")) for _ in range(2)]
        for reader in readers:
            reader.start()
        readers[0].join()
        login(request, eve, MODEL_BACKEND)
        readers[1].join()
        seen.extend([str(request.user), str(get_user(request)), bool(request.session.identity)])
        return HttpResponse()

    SessionMiddleware(AuthenticationMiddleware(view))(request_of(*newcomer))

    assert seen == ["eve", "eve", False]


# --- a local login that is over -----------------------------------------------------------------------


@pytest.fixture
def browser() -> Client:
    """Ben is signed in by single sign-on, and Eve, by a local login on top of it, is not allowed to be."""
    client = Client()
    testing.sign_in(client, "ben")
    client.get("/put/?address=Bens")
    client.get(f"/local-login/?username={User.objects.create_user('eve').username}")
    return client


def link_eve() -> None:
    Account.objects.create(sub=testing.subject("eve"), user=User.objects.get(username="eve"), version=1)


def of(client: Client, method: str = "GET") -> HttpRequest:
    return request_of(token_of(client), client.cookies["__Host-session"].value, method)


async def test_concurrent_checks_of_a_login_that_is_over_delete_no_data(browser: Client) -> None:
    await sync_to_async(link_eve)()
    seen: list[str] = []

    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.gather(aget_user(request), aget_user(request))
        seen.append(str(await request.auser()))
        return HttpResponse()

    await SessionMiddleware(AuthenticationMiddleware(view))(await sync_to_async(of)(browser))

    assert seen == ["ben"]
    assert await sync_to_async(session_data)(browser) == {"address": "Bens"}


@pytest.mark.parametrize("is_flushed", [False, True])
def test_attack_form_of_a_login_that_is_over_leaves_nothing_to_the_next_user(
    browser: Client, is_flushed: bool
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        if is_flushed:
            request.session.flush()
        assert not request.user.is_authenticated
        request.session["address"] = "Eves"
        return HttpResponse()

    if not is_flushed:
        link_eve()
    response = SessionMiddleware(AuthenticationMiddleware(view))(of(browser, "POST"))
    if "__Host-session" in response.cookies:
        browser.cookies["__Host-session"] = response.cookies["__Host-session"].value

    assert browser.get("/user/").content == b"ben"
    assert browser.get("/show/").json() == {"address": "Bens"}


def test_user_and_sso_change_together(browser: Client) -> None:
    link_eve()
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.extend([bool(request.sso), str(request.user), bool(request.sso)])
        return HttpResponse()

    SessionMiddleware(AuthenticationMiddleware(view))(of(browser))

    assert seen == [False, "ben", True]


# --- cancellation, sockets ------------------------------------------------------------------------------


async def test_a_cancelled_request_leaves_the_announcement_to_the_next_one() -> None:
    token, announced, started = await sync_to_async(sign_in)("ben"), [], asyncio.Event()
    ask = store.aask

    async def slow(commands: Any) -> Any:
        answers = await ask(commands)
        if any(command[0] in {"EVALSHA", "EVAL"} for command in commands):
            started.set()
            await asyncio.sleep(10)
        return answers

    async def view(request: HttpRequest) -> HttpResponse:
        await request.auser()
        return HttpResponse()

    def note(user: Any, **_: Any) -> None:
        announced.append(str(user))

    site = SessionMiddleware(AuthenticationMiddleware(view))
    user_logged_in.connect(note)
    try:
        with mock.patch.object(store, "aask", slow):
            task = asyncio.create_task(site(request_with(token)))
            await started.wait()
            task.cancel()
            with mock.patch.object(store, "aask", ask), pytest.raises(asyncio.CancelledError):
                await task
        await site(request_with(token))
    finally:
        user_logged_in.disconnect(note)

    assert announced == ["ben"]


async def test_a_socket_can_sign_out_after_an_outage() -> None:
    token = await sync_to_async(sign_in)("ben")
    cookie = f"{conf.dsn().cookie_name}={token.value}".encode()
    headers = [(b"host", b"testserver"), (b"cookie", cookie)]
    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": headers, "scheme": "wss"}
    request = await channels.find_user(scope)
    scope |= {"session": request.session, "user": await request.auser(), "sso": await request.asso()}

    outage = mock.patch.object(store, "aask", side_effect=StoreUnavailable("Timeout"))
    with outage, pytest.raises(StoreUnavailable):
        await scope["session"].asave()
    await channels.sign_out(scope)

    assert not has_identity(token)
