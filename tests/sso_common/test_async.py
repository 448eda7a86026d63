"""The same promises under ASGI: nothing blocks the event loop, nothing is looked up twice."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory

from sso_common import conf, store, testing
from sso_common.backends import SSOBackend
from sso_common.identity import Identity
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.models import Account
from sso_common.sessions import SessionStore
from tests.sso_common.tools import (
    counted_trips,
    end,
    has_identity,
    issue,
    names_in_redis,
    record_name,
    site_name,
    token_of,
    without_cookies,
)

# Not in a transaction: async code has connections of its own.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

COOKIE = "__Host-session"
JSON = {"accept": "application/json"}


@pytest.fixture
async def visitor(async_client: AsyncClient) -> AsyncClient:
    """Signed in, known to this site, and not here for the first time."""
    await sync_to_async(testing.sign_in)(async_client, "anna")
    await async_client.get("/async/user/")
    return async_client


# --- what a request costs ----------------------------------------------------------------------------


async def test_a_page_that_looks_at_neither_asks_nothing(visitor: AsyncClient) -> None:
    with counted_trips() as trips:
        response = await visitor.get("/")

    assert len(trips) == 0
    assert without_cookies(response)


@pytest.mark.parametrize("path", ["/async/identity/", "/async/user/", "/user/", "/show/"])
async def test_a_page_that_looks_costs_one_round_trip(visitor: AsyncClient, path: str) -> None:
    with counted_trips() as trips:
        response = await visitor.get(path)

    assert response.status_code == 200
    assert len(trips) == 1


async def test_a_change_costs_one_round_trip_more(visitor: AsyncClient) -> None:
    await visitor.get("/async/put/?a=1")

    with counted_trips() as trips:
        await visitor.get("/async/put/?a=2")

    assert len(trips) == 2


async def test_first_visit_costs_one_more_round_trip(valkey) -> None:
    token = issue("anna")

    async def view(request: HttpRequest) -> HttpResponse:
        assert await request.session.aget("a") is None
        return HttpResponse()

    await SessionMiddleware(view)(_request(token))  # the server learns the script
    other = issue("anna")
    with counted_trips() as trips:
        await SessionMiddleware(view)(_request(other))
        await SessionMiddleware(view)(_request(other))

    assert len(trips) == 3
    assert store.client().hgetall(site_name(other)) == {store.MARKER: b""}


async def test_no_await_asks_the_store_on_the_event_loop(valkey, settings) -> None:
    """Each awaited method of a session that has to ask does so in a thread."""
    loop_thread = threading.get_ident()
    asked_in: list[int] = []
    ask = SessionStore._ask

    def noting(self, *args, **kwargs):
        asked_in.append(threading.get_ident())
        return ask(self, *args, **kwargs)

    SessionStore._ask = noting
    try:
        for verb, arguments in VERBS.items():
            await getattr(SessionStore(token=await sync_to_async(issue)()), verb)(*arguments)
    finally:
        SessionStore._ask = ask

    assert len(asked_in) >= len(VERBS)
    assert loop_thread not in asked_in


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
    "aexists": ["some-session-key"],
    "aget_expiry_age": [],
    "aget_expire_at_browser_close": [],
    "aset_expiry": [10],
    "atest_cookie_worked": [],
}


async def test_a_look_at_what_is_known_needs_no_thread(valkey) -> None:
    session = SessionStore(token=issue())
    await session.aget("a")
    threads = threading.active_count()

    with counted_trips() as trips:
        await asyncio.gather(*(session.aget("a") for _ in range(20)))

    assert len(trips) == 0
    assert threading.active_count() <= threads  # one of an earlier test may end


# --- sessions and users ------------------------------------------------------------------------------


def _request(token=None) -> HttpRequest:
    factory = AsyncRequestFactory()
    if token is not None:
        factory.cookies[conf.cookie_name()] = token.value
    return factory.get("/")


async def test_an_anonymous_session_works_and_is_adopted(async_client: AsyncClient) -> None:
    response = await async_client.get("/async/put/?cart=mug")
    assert COOKIE in response.cookies
    await sync_to_async(testing.sign_in)(async_client, "anna")

    response = await async_client.get("/async/put/?more=1")

    assert response.json() == {"cart": "mug", "more": "1"}
    assert response.cookies[COOKIE].value == ""


async def test_the_first_visit_makes_the_local_user(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "anna", first_name="Anna")

    response = await async_client.get("/async/user/")

    assert response.content == b"anna"
    assert (await User.objects.aget()).first_name == "Anna"


async def test_the_identity_is_at_hand(visitor: AsyncClient) -> None:
    response = await visitor.get("/async/identity/")

    assert response.json() == {"sub": str(testing.subject("anna"))}


async def test_request_sso_may_be_read_in_an_async_view_once_it_is_known(valkey) -> None:
    token = issue("anna")

    async def view(request: HttpRequest) -> HttpResponse:
        identity = await request.asso()
        assert request.sso == identity
        return HttpResponse(identity.user.username)

    response = await SessionMiddleware(AuthenticationMiddleware(view))(_request(token))

    assert response.content == b"anna"


async def test_signing_out_at_another_site_holds_at_the_next_request(visitor: AsyncClient) -> None:
    testing.sign_out(visitor)

    assert (await visitor.get("/async/user/")).content == b"nobody"
    assert (await visitor.get("/async/identity/")).json() == {}


async def test_a_user_who_was_deactivated_is_nobody_and_has_no_identity(valkey) -> None:
    token = issue("anna")
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


async def test_alogin_inside_a_signed_in_session_comes_first(visitor: AsyncClient) -> None:
    await User.objects.acreate_user("operator")

    await visitor.get("/async/local-login/?username=operator")

    assert (await visitor.get("/async/user/")).content == b"operator"
    assert (await visitor.get("/user/")).content == b"operator"


# --- concurrency -------------------------------------------------------------------------------------


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


async def test_asave_does_not_resurrect_a_session_signed_out_elsewhere(valkey) -> None:
    token = issue("anna")

    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aset("a", 1)
        await sync_to_async(end)(token)
        return HttpResponse()

    with pytest.raises(Exception, match="deleted before the request completed"):
        await SessionMiddleware(view)(_request(token))

    assert names_in_redis() == set()


async def test_many_visitors_at_once_each_get_their_own_session(valkey) -> None:
    tokens = {f"user{number}": issue(f"user{number}") for number in range(20)}

    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        identity = await request.asso()
        return HttpResponse(identity.user.username)

    site = SessionMiddleware(AuthenticationMiddleware(view))
    for _ in range(3):
        responses = await asyncio.gather(*(site(_request(token)) for token in tokens.values()))
        assert [response.content.decode() for response in responses] == list(tokens)


# --- not signed in -----------------------------------------------------------------------------------


async def test_a_navigation_goes_to_the_hop_and_a_script_gets_401(async_client: AsyncClient) -> None:
    page = await async_client.get("/async/private/")
    script = await async_client.get("/async/private/", headers=JSON)

    assert (page.status_code, page["Location"]) == (302, "/sso/login/?next=/async/private/")
    assert (script.status_code, script.json()["error"]) == (401, "not_signed_in")


async def test_whoever_is_not_admitted_gets_403_and_never_a_redirect(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "mallory", sites={})

    for headers in ({}, JSON):
        response = await async_client.get("/async/private/", headers=headers)
        assert response.status_code == 403


async def test_the_hop_and_sign_out_work_under_asgi(visitor: AsyncClient) -> None:
    signed_in = await visitor.get("/sso/login/?next=/show/")
    signed_out = await visitor.post("/sso/logout/")
    hop = await visitor.get("/sso/login/?next=/show/")

    assert signed_in["Location"] == "/show/"
    assert signed_out.status_code == 303
    assert hop["Location"].startswith(f"{conf.portal_url()}/sso/v1/enter?")


async def test_a_tossed_cookie_in_a_header_of_its_own_signs_nobody_in(valkey) -> None:
    """HTTP/2 may split the Cookie header (RFC 9113, 8.2.3)."""
    token, tossed = issue("anna"), issue("mallory")

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("nobody" if await request.asso() is None else "somebody")

    request = _request()
    scope = dict(request.scope)
    name = conf.cookie_name().encode()
    scope["headers"] = [
        (b"cookie", name + b"=" + token.value.encode()),
        (b"cookie", name + b"=" + tossed.value.encode()),
    ]
    request = type(request)(scope, None)
    response = await SessionMiddleware(AuthenticationMiddleware(view))(request)

    assert response.content == b"nobody"
    # Django 5.2 joins the headers with a comma, which no token holds.
    assert request.session.refusal.reason in {"two-cookies", "malformed-cookie"}


async def test_the_idle_timeout_is_extended_under_asgi(visitor: AsyncClient) -> None:
    token = token_of(visitor)
    for name in (record_name(token), site_name(token)):
        store.client().pexpire(name, 60_000)

    await visitor.get("/async/user/")

    assert store.client().pttl(record_name(token)) > 3_600_000


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
