"""The promises of the middlewares under ASGI: nothing blocks the event loop, nothing is read twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory

from sso_common import conf, store, testing
from sso_common.backends import SSOBackend
from sso_common.identity import Identity
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.models import Account
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import (
    counted_trips,
    end,
    expire_in,
    has_identity,
    names_in_redis,
    record_name,
    sets_no_cookie,
    sign_in,
    site_name,
    token_of,
)

# Not in a transaction: async code uses other database connections.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

COOKIE = "__Host-session"
JSON = {"accept": "application/json"}


@pytest.fixture
async def visitor(async_client: AsyncClient) -> AsyncClient:
    """The browser of a user who is signed in and has visited this site before."""
    await sync_to_async(testing.sign_in)(async_client, "anna")
    await async_client.get("/async/user/")
    return async_client


@pytest.fixture
def token(valkey: ValkeyServer) -> SessionToken:
    """The session token of a user who is signed in."""
    return sign_in("anna")


# --- what a request costs --------------------------------------------------------------------


async def test_page_that_reads_neither_session_nor_user_costs_nothing(visitor: AsyncClient) -> None:
    with counted_trips() as trips:
        response = await visitor.get("/")

    assert len(trips) == 0
    assert sets_no_cookie(response)


@pytest.mark.parametrize("path", ["/async/identity/", "/async/user/", "/user/", "/show/"])
async def test_page_that_reads_session_or_user_costs_one_round_trip(visitor: AsyncClient, path: str) -> None:
    with counted_trips() as trips:
        response = await visitor.get(path)

    assert response.status_code == 200
    assert len(trips) == 1


async def test_save_takes_one_more_round_trip_and_does_not_block_the_event_loop(
    visitor: AsyncClient,
) -> None:
    await visitor.get("/async/put/?a=1")

    with counted_trips() as trips:
        await visitor.get("/async/put/?a=2")

    assert len(trips) == 2
    assert not trips.threads


async def test_session_is_extended_at_most_once_a_minute(valkey) -> None:
    token = sign_in("anna")
    expire_in(token, 3600)

    async def view(request: HttpRequest) -> HttpResponse:
        assert await request.session.aget("a") is None
        return HttpResponse()

    with counted_trips() as trips:
        await SessionMiddleware(view)(_request(token))
        await SessionMiddleware(view)(_request(token))

    assert len(trips) == 3
    assert store.client().ttl(record_name(token)) > 3600


VERBS = {
    "aget": ["a"],
    "aset": ["a", 1],
    "apop": ["a", None],
    "aupdate": [{"a": 1}],
    "asetdefault": ["a", 1],
    "ahas_key": ["a"],
    "akeys": [],
    "avalues": [],
    "aitems": [],
    "aload": [],
    "asave": [],
    "acreate": [],
    "adelete": [],
    "aflush": [],
    "acycle_key": [],
    "aresolve": [],
    "asign_out": [],
    "aload_data": [],
    "aset_test_cookie": [],
    "aget_expiry_date": [],
    "aexists": ["some-session-key"],
    "aget_expiry_age": [],
    "aget_expire_at_browser_close": [],
    "aset_expiry": [10],
    "atest_cookie_worked": [],
}


@pytest.mark.parametrize(("verb", "arguments"), VERBS.items(), ids=VERBS)
async def test_awaited_method_does_not_block_the_event_loop(
    token: SessionToken, verb: str, arguments: list[Any]
) -> None:
    session = SessionStore(token=token)

    with counted_trips() as trips:
        await getattr(session, verb)(*arguments)

    assert len(trips) > 0
    assert not trips.threads


async def test_reading_a_loaded_session_needs_no_thread(
    token: SessionToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionStore(token=token)
    await session.aget("a")
    used: list[Any] = []
    monkeypatch.setattr(
        asyncio.get_running_loop(), "run_in_executor", lambda *arguments: used.append(arguments)
    )

    await asyncio.gather(*(session.aget("a") for _ in range(20)))

    assert used == []


# --- sessions and users ----------------------------------------------------------------------


def _request(token=None) -> HttpRequest:
    factory = AsyncRequestFactory()
    if token is not None:
        factory.cookies[conf.dsn().cookie_name] = token.value
    return factory.get("/")


async def test_anonymous_session_is_adopted_after_sign_in(async_client: AsyncClient) -> None:
    response = await async_client.get("/async/put/?cart=mug")
    assert COOKIE in response.cookies
    await sync_to_async(testing.sign_in)(async_client, "anna")

    response = await async_client.get("/async/put/?more=1")

    assert response.json() == {"cart": "mug", "more": "1"}
    assert response.cookies[COOKIE].value == ""


async def test_first_visit_creates_the_local_user(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "anna", first_name="Anna")

    response = await async_client.get("/async/user/")

    assert response.content == b"anna"
    assert (await User.objects.aget()).first_name == "Anna"


async def test_request_asso_returns_the_identity(visitor: AsyncClient) -> None:
    response = await visitor.get("/async/identity/")

    assert response.json() == {"sub": str(testing.subject("anna"))}


async def test_async_view_can_read_request_sso_once_it_is_loaded(valkey) -> None:
    token = sign_in("anna")

    async def view(request: HttpRequest) -> HttpResponse:
        identity = await request.asso()
        assert request.sso == identity
        return HttpResponse(identity.user.username)

    response = await SessionMiddleware(AuthenticationMiddleware(view))(_request(token))

    assert response.content == b"anna"


async def test_sign_out_at_another_site_takes_effect_at_the_next_request(visitor: AsyncClient) -> None:
    testing.sign_out(visitor)

    assert (await visitor.get("/async/user/")).content == b"nobody"
    assert (await visitor.get("/async/identity/")).json() == {}


async def test_deactivated_user_is_signed_out_and_has_no_identity(valkey) -> None:
    token = sign_in("anna")
    seen = []

    async def view(request: HttpRequest) -> HttpResponse:
        user = await request.auser()
        seen.append((user.is_authenticated, await request.asso()))
        return HttpResponse()

    site = SessionMiddleware(AuthenticationMiddleware(view))
    await site(_request(token))
    await Account.objects.aupdate(is_active=False)
    await site(_request(token))

    assert [is_authenticated for is_authenticated, _ in seen] == [True, False]
    assert seen[1][1] is None


async def test_alogout_signs_out_everywhere(visitor: AsyncClient) -> None:
    await visitor.get("/async/put/?a=1")
    token = token_of(visitor)

    response = await visitor.get("/async/sign-out/")

    assert response.status_code == 200
    assert not has_identity(token)
    assert not store.client().exists(site_name(token))
    assert (await visitor.get("/async/user/")).content == b"nobody"


async def test_aforce_login_works_as_in_stock_django(async_client: AsyncClient) -> None:
    user = await User.objects.acreate_user("local", password="of-the-tests")

    await async_client.aforce_login(user)
    assert (await async_client.get("/async/user/")).content == b"local"
    await async_client.alogout()
    assert (await async_client.get("/async/user/")).content == b"nobody"

    assert await async_client.alogin(username="local", password="of-the-tests")
    assert (await async_client.get("/async/user/")).content == b"local"


async def test_alogin_inside_a_signed_in_session_wins(visitor: AsyncClient) -> None:
    await User.objects.acreate_user("operator")

    await visitor.get("/async/local-login/?username=operator")

    assert (await visitor.get("/async/user/")).content == b"operator"
    assert (await visitor.get("/user/")).content == b"operator"


# --- concurrency -----------------------------------------------------------------------------


async def test_concurrent_requests_that_save_different_keys_lose_nothing(visitor: AsyncClient) -> None:
    token = token_of(visitor)

    async def save(number: int) -> None:
        session = SessionStore(token=token)
        await session.aset(f"key {number}", number)
        await session.asave()

    for start in range(0, 60, 10):
        await asyncio.gather(*(save(start + number) for number in range(10)))

    data = dict(await SessionStore(token=token).aitems())
    assert data == {f"key {number}": number for number in range(60)}


async def test_concurrent_coroutines_of_one_request_share_its_session(token: SessionToken) -> None:
    session = SessionStore(token=token)

    await asyncio.gather(*(session.aset(f"key {number}", number) for number in range(10)))

    assert dict(await session.aitems()) == {f"key {number}": number for number in range(10)}


async def test_asave_does_not_resurrect_a_signed_out_session(valkey) -> None:
    token = sign_in("anna")

    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aset("a", 1)
        await sync_to_async(end)(token)
        return HttpResponse()

    with pytest.raises(BadRequest, match="deleted before the request completed"):
        await SessionMiddleware(view)(_request(token))

    assert names_in_redis() == set()


async def test_concurrent_visitors_each_get_their_own_session(valkey) -> None:
    tokens = {f"user{number}": sign_in(f"user{number}") for number in range(20)}

    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        identity = await request.asso()
        return HttpResponse(identity.user.username)

    site = SessionMiddleware(AuthenticationMiddleware(view))
    for _ in range(3):
        responses = await asyncio.gather(*(site(_request(token)) for token in tokens.values()))
        assert [response.content.decode() for response in responses] == list(tokens)


# --- not signed in ---------------------------------------------------------------------------


async def test_navigation_is_redirected_and_a_script_gets_401(async_client: AsyncClient) -> None:
    page = await async_client.get("/async/private/")
    script = await async_client.get("/async/private/", headers=JSON)

    assert (page.status_code, page["Location"]) == (302, "/sso/login/?next=/async/private/")
    assert (script.status_code, script.json()["error"]) == (401, "not_signed_in")


async def test_user_without_access_gets_403_and_no_redirect(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "mallory", sites={})

    for headers in ({}, JSON):
        response = await async_client.get("/async/private/", headers=headers)
        assert response.status_code == 403


async def test_login_and_logout_views_work_under_asgi(visitor: AsyncClient) -> None:
    signed_in = await visitor.get("/sso/login/?next=/show/")
    signed_out = await visitor.post("/sso/logout/")
    anonymous = await visitor.get("/sso/login/?next=/show/")

    assert signed_in["Location"] == "/show/"
    assert signed_out.status_code == 303
    assert anonymous["Location"].startswith(f"{conf.dsn().portal_url}/sso/v1/enter?")


async def test_attack_tossed_cookie_in_a_second_header_signs_no_user_in(valkey) -> None:
    """HTTP/2 may split the Cookie header (RFC 9113, 8.2.3)."""
    token, tossed = sign_in("anna"), sign_in("mallory")

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("anonymous" if await request.asso() is None else "signed in")

    request = _request()
    scope = dict(request.scope)
    name = conf.dsn().cookie_name.encode()
    scope["headers"] = [
        (b"cookie", name + b"=" + token.value.encode()),
        (b"cookie", name + b"=" + tossed.value.encode()),
    ]
    request = type(request)(scope, None)
    response = await SessionMiddleware(AuthenticationMiddleware(view))(request)

    assert response.content == b"anonymous"
    # Django 5.2 joins the headers with a comma, which no token contains.
    assert request.session.refusal.reason in {"two-cookies", "malformed-cookie"}


async def test_extending_the_idle_timeout_does_not_block_the_event_loop(visitor: AsyncClient) -> None:
    token = token_of(visitor)
    expire_in(token, 60)

    with counted_trips() as trips:
        await visitor.get("/async/user/")

    assert store.client().pttl(record_name(token)) > 3_600_000
    assert not trips.threads


class Backend(SSOBackend):
    def user_for(self, identity: Identity) -> Any:
        return User(username=f"custom {identity.user.username}")


async def test_overriding_user_for_is_enough_for_async_code(
    async_client: AsyncClient, valkey, settings
) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Backend"]
    await sync_to_async(testing.sign_in)(async_client, "anna")

    response = await async_client.get("/async/user/")

    assert response.content == b"custom anna"
