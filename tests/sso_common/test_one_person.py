"""Promise 13: one request has one person, whatever order of local and single sign-ons came before."""

from __future__ import annotations

import asyncio
import copy

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from sso_common import conf, store, testing
from sso_common.models import Account
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
    User.objects.get_or_create(username=username)
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


# --- what a hostile review found -----------------------------------------------------------------


def other_browser_of(client: Client) -> Client:
    """A browser that has nothing but the SSO cookie."""
    browser = Client()
    browser.cookies[conf.dsn().cookie_name] = token_of(client).value
    return browser


def test_attack_local_login_after_a_refusal_is_stored_in_the_sso_session(ben: Client) -> None:
    """The site has deactivated Ben's account; an operator logs in in the same browser."""
    ben.get("/user/")
    Account.objects.update(is_active=False)
    User.objects.create_user("eve")

    ben.get("/user-then-local-login/?username=eve")

    assert ben.get("/user/").content == b"eve"
    Account.objects.update(is_active=True)
    browser = other_browser_of(ben)
    assert browser.get("/user/").content == b"ben"
    assert browser.get("/show/").json() == {"address": "Bens"}


def test_attack_login_that_is_stored_in_an_sso_session_is_honoured(ben: Client) -> None:
    eve = User.objects.create_user("eve")
    store.client().hset(site_name(token_of(ben)), SESSION_KEY, f'"{eve.pk}"')

    assert ben.get("/user/").content == b"ben"
    assert SESSION_KEY not in ben.get("/show/").json()


def test_local_login_by_update_gets_a_session_of_its_own(ben: Client) -> None:
    eve = User.objects.create_user("eve")
    session = SessionStore(token=token_of(ben))

    session.update({SESSION_KEY: str(eve.pk)})
    session.save()

    assert session.token is None
    assert SESSION_KEY.encode() not in store.client().hgetall(site_name(token_of(ben)))


def test_newest_of_two_local_logins_prevails(ben: Client) -> None:
    sign_in_locally(ben, "eve")

    sign_in_locally(ben, "fay")

    assert ben.get("/user/").content == b"fay"


def test_local_login_over_a_user_without_access_still_prevails_later(client: Client) -> None:
    token = testing.sign_in(client, "ben", sites={}).sid
    sign_in_locally(client, "eve")
    identity = testing.make_identity(token_of(client), "ben")
    testing.store_record(token, testing.sign_record(identity))

    assert client.get("/user/").content == b"eve"


def test_login_of_oneself_changes_nothing(ben: Client) -> None:
    """Some products repeat the login after a change of the profile."""
    ben.get("/user/")

    ben.get("/user-then-local-login/?username=ben")

    assert ben.get("/identity/").json()["roles"] == ["editor"]
    assert ben.get("/show/").json() == {"address": "Bens"}


@pytest.mark.parametrize("how", ["refused", "deleted", "popped"])
def test_local_login_that_is_over_brings_the_user_of_the_portal_back(ben: Client, how: str) -> None:
    sign_in_locally(ben, "eve")
    eve = User.objects.get(username="eve")
    if how == "refused":
        Account.objects.create(sub=testing.subject("eve"), user=eve, version=1)
    elif how == "deleted":
        eve.delete()
    else:
        session = SessionStore(ben.cookies[COOKIE].value)
        session.pop(SESSION_KEY)
        session.save()

    assert ben.get("/user/").content == b"ben"
    assert ben.get("/show/").json() == {"address": "Bens"}


def test_refused_local_login_is_deleted(client: Client) -> None:
    sign_in_locally(client, "eve")
    key = client.cookies[COOKIE].value
    Account.objects.create(sub=testing.subject("eve"), user=User.objects.get(), version=1)

    assert client.get("/user/").content == b"nobody"

    assert not store.client().exists(anonymous_name(key))


def test_local_login_in_the_request_that_adopts_keeps_its_cookie(client: Client) -> None:
    client.get("/put/?cart=mug")
    testing.sign_in(client, "ben")

    sign_in_locally(client, "eve")

    assert client.get("/user/").content == b"eve"


def test_hook_that_fails_once_does_not_lose_the_cart(client: Client, settings) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.failing_hook"
    client.get("/put/?cart=mug")
    testing.sign_in(client, "ben")
    failures.append(1)

    client.get("/swallowing/")

    assert client.get("/show/").json() == {"cart": "mug"}


failures: list[int] = []


def failing_hook(anonymous: dict[str, object], signed_in: dict[str, object]) -> dict[str, object]:
    if failures:
        failures.pop()
        raise RuntimeError("the site's database is locked")
    return anonymous


def test_clear_before_the_first_read_clears_a_local_login(ben: Client) -> None:
    sign_in_locally(ben, "eve")
    session = SessionStore(ben.cookies[COOKIE].value, token=token_of(ben))

    session.clear()
    session.save()

    assert dict(SessionStore(session.session_key).items()) == {}


async def test_hook_that_needs_the_event_loop_does_not_block_it(settings) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.hook_on_the_loop"
    anonymous = SessionStore()
    await anonymous.aset("cart", ["mug"])
    await anonymous.asave()
    session = SessionStore(anonymous.session_key, token=await sync_to_async(sign_in)("ben"))

    async def look() -> object:
        await hook_runs.wait()
        release.set()
        return session.identity

    hook_runs.clear()
    release.clear()
    looks = asyncio.gather(session.aget("cart"), look(), return_exceptions=True)
    cart, error = await asyncio.wait_for(looks, 60)

    assert cart == ["mug"]
    assert isinstance(error, RuntimeError)  # a look from sync code runs the hook itself


hook_runs, release = asyncio.Event(), asyncio.Event()


def hook_on_the_loop(anonymous: dict[str, object], signed_in: dict[str, object]) -> dict[str, object]:
    async def on_the_loop() -> None:
        hook_runs.set()
        await release.wait()

    async_to_sync(on_the_loop)()
    return anonymous


def test_auser_follows_a_login_and_a_logout(ben: Client) -> None:
    User.objects.create_user("eve")

    assert ben.get("/async/auser/?username=eve").json() == ["ben", "eve", ""]


def test_session_can_be_copied(ben: Client) -> None:
    session = SessionStore(token=token_of(ben))

    assert copy.deepcopy(session)["address"] == "Bens"
