"""Promise 13: one request has one person, whatever order of local and single sign-ons came before."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from sso_common import conf, store, testing
from sso_common.sessions import SessionStore
from tests.sso_common.tools import anonymous_name, counted_trips, has_identity, sign_in, site_name, token_of

pytestmark = pytest.mark.django_db(transaction=True)

COOKIE = "__Host-session"
#: Written by the hook below: what it was called with.
offered: list[dict[str, object]] = []


def noting_hook(anonymous: dict[str, object], signed_in: dict[str, object]) -> dict[str, object]:
    offered.append(anonymous)
    return anonymous


@pytest.fixture(autouse=True)
def clean(valkey) -> None:
    offered.clear()


async def sign_in_locally_async(client: AsyncClient, username: str) -> None:
    await User.objects.acreate_user(username)
    await client.get(f"/async/local-login/?username={username}")


def sign_in_locally(client: Client, username: str) -> None:
    User.objects.create_user(username)
    client.get(f"/local-login/?username={username}")


# --- a local login, then a single sign-on --------------------------------------------------------


def test_attack_next_user_adopts_the_data_of_a_local_login(client: Client, settings) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.noting_hook"
    sign_in_locally(client, "dora")
    client.get("/put/?address=Doras")
    key = client.cookies[COOKIE].value

    testing.sign_in(client, "ben")

    assert client.get("/show/").json() == {}
    assert client.get("/user/").content == b"ben"
    assert offered == []
    assert not store.client().exists(anonymous_name(key))


def test_older_local_login_does_not_come_back(client: Client) -> None:
    sign_in_locally(client, "dora")
    testing.sign_in(client, "ben")
    client.get("/user/")

    client.get("/sign-out/")

    assert client.get("/user/").content == b"nobody"


async def test_attack_next_user_adopts_a_local_login_async(async_client: AsyncClient) -> None:
    await sign_in_locally_async(async_client, "dora")
    await async_client.get("/async/put/?address=Doras")

    await sync_to_async(testing.sign_in)(async_client, "ben")

    assert (await async_client.get("/async/put/?a=1")).json() == {"a": "1"}
    assert (await async_client.get("/async/user/")).content == b"ben"


# --- a single sign-on, then a local login --------------------------------------------------------


@pytest.fixture
def ben(client: Client) -> Client:
    testing.sign_in(client, "ben", roles=["editor"])
    client.get("/put/?address=Bens")
    return client


def test_local_login_gets_a_session_of_its_own(ben: Client) -> None:
    sign_in_locally(ben, "eve")

    assert ben.get("/user/").content == b"eve"
    assert ben.get("/identity/").json() == {}
    assert "address" not in ben.get("/show/").json()
    assert SESSION_KEY.encode() not in store.client().hgetall(site_name(token_of(ben)))


def test_attack_sso_cookie_alone_opens_a_local_login(ben: Client) -> None:
    sign_in_locally(ben, "eve")

    other_browser = Client()
    other_browser.cookies[conf.dsn().cookie_name] = token_of(ben).value

    assert other_browser.get("/user/").content == b"ben"
    assert other_browser.get("/show/").json() == {"address": "Bens"}


def test_request_that_signs_in_locally_has_no_identity(ben: Client) -> None:
    User.objects.create_user("eve")

    assert ben.get("/local-login/identity/?username=eve").json() == {"user": "eve", "sso": False}


def test_logout_ends_both(ben: Client) -> None:
    sign_in_locally(ben, "eve")

    ben.get("/sign-out/")

    assert ben.get("/user/").content == b"nobody"
    assert not has_identity(token_of(ben))


def test_new_single_sign_on_wins_over_an_older_local_login(ben: Client) -> None:
    sign_in_locally(ben, "eve")

    testing.sign_in(ben, "anna")

    assert ben.get("/user/").content == b"anna"
    assert ben.get("/show/").json() == {}


async def test_local_login_gets_a_session_of_its_own_async(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "ben", roles=["editor"])
    await async_client.get("/async/put/?address=Bens")

    await sign_in_locally_async(async_client, "eve")

    assert (await async_client.get("/async/user/")).content == b"eve"
    assert (await async_client.get("/async/identity/")).json() == {}
    assert "address" not in (await async_client.get("/async/put/?a=1")).json()


# --- within one request --------------------------------------------------------------------------


def test_identity_has_no_roles_after_logout_in_the_same_request(ben: Client) -> None:
    assert ben.get("/sign-out/identity/").json() == {"before": ["editor"], "after": False}


async def test_concurrent_reads_of_a_request_see_one_user_in_one_round_trip() -> None:
    token = await sync_to_async(sign_in)("ben")
    await sync_to_async(SessionStore(token=token).save)()

    for _ in range(30):
        session = SessionStore(token=token)
        with counted_trips() as trips:
            found = await asyncio.gather(*(read(session) for read in READS * 3))
        assert None not in found
        assert len(trips) == 1


async def _identity(session: SessionStore) -> object:
    await session.aresolve()
    return session.identity


async def _identity_in_a_thread(session: SessionStore) -> object:
    return await sync_to_async(lambda: session.identity, thread_sensitive=False)()


async def _data(session: SessionStore) -> object:
    await session.aget("a")
    return session.identity


READS = [_identity, _data, _identity_in_a_thread]


async def test_concurrent_reads_of_a_request_adopt_once() -> None:
    for _ in range(20):
        anonymous = SessionStore()
        await anonymous.aset("cart", ["mug"])
        await anonymous.asave()
        token = await sync_to_async(sign_in)("ben")
        session = SessionStore(anonymous.session_key, token=token)

        carts = await asyncio.gather(*(session.aget("cart") for _ in range(6)))

        assert carts == [["mug"]] * 6
        assert session.is_cookie_stale


# --- the CSRF secret ------------------------------------------------------------------------------


@pytest.mark.parametrize("cart", [True, False])
def test_attack_csrf_secret_from_before_the_sign_in(client: Client, cart: bool) -> None:
    if cart:
        client.get("/put/?cart=mug")
    client.get("/csrf/")
    planted = client.cookies["csrftoken"].value
    testing.sign_in(client, "ben")

    client.get("/user/")

    assert client.cookies["csrftoken"].value != planted


def test_csrf_secret_is_rotated_once(client: Client) -> None:
    client.get("/csrf/")
    testing.sign_in(client, "ben")
    client.get("/user/")
    rotated = client.cookies["csrftoken"].value

    client.get("/show/")

    assert client.cookies["csrftoken"].value == rotated


def test_form_from_before_the_sign_in_can_still_be_sent() -> None:
    client = Client(enforce_csrf_checks=True)
    token = client.get("/csrf/").text
    testing.sign_in(client, "ben")

    response = client.post("/user/", {"csrfmiddlewaretoken": token})

    assert response.content == b"ben"


def test_first_visit_without_a_csrf_cookie_sets_none(client: Client) -> None:
    testing.sign_in(client, "ben")

    client.get("/user/")

    assert "csrftoken" not in client.cookies
