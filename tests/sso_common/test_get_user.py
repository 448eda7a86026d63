"""``django.contrib.auth.get_user`` and ``aget_user`` find the user of a single sign-on.

Products that bring an authentication middleware of their own, Channels and GraphQL stacks build on them.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    aget_user,
    get_user,
    load_backend,
    login,
    logout,
    update_session_auth_hash,
)
from django.contrib.auth.middleware import PersistentRemoteUserMiddleware, RemoteUserMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.test import Client

from sso_common import store, testing
from sso_common.authentication import LOGIN_KEYS
from sso_common.exceptions import LocalLoginRefused
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.models import Account
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.sso_common.tools import (
    counted_trips,
    end,
    has_identity,
    request_with,
    sign_in,
    site_name,
    token_of,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

SSO_BACKEND = "sso_common.backends.SSOBackend"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def visit(token: SessionToken, view: Callable[[HttpRequest], Any], *, is_complete: bool = False) -> Any:
    """What a view returns below the session middleware alone, as below the middleware of a product."""
    results = []

    def get_response(request: HttpRequest) -> HttpResponse:
        results.append(view(request))
        return HttpResponse()

    if is_complete:
        get_response = AuthenticationMiddleware(get_response)
    SessionMiddleware(get_response)(request_with(token))
    return results[0]


def name_of(token: SessionToken) -> str:
    return visit(token, get_user).get_username()


@pytest.fixture
def ben() -> SessionToken:
    """The session of a user who is signed in and has visited this site before."""
    token = sign_in("ben", roles=["editor"])
    visit(token, lambda request: request.user.get_username(), is_complete=True)
    return token


# --- it finds the user -----------------------------------------------------------------------


def test_get_user_finds_the_user_who_signed_in_at_the_portal(ben: SessionToken) -> None:
    assert name_of(ben) == "ben"


async def test_aget_user_finds_the_user_who_signed_in_at_the_portal() -> None:
    request = request_with(await sync_to_async(sign_in)("ben"))
    SessionMiddleware(lambda request: HttpResponse()).process_request(request)

    assert (await aget_user(request)).get_username() == "ben"


def test_get_user_finds_a_user_who_has_never_been_here() -> None:
    assert name_of(sign_in("newcomer")) == "newcomer"


def test_get_user_costs_what_request_user_costs(ben: SessionToken, django_assert_num_queries: Any) -> None:
    def view(request: HttpRequest) -> bool:
        found = get_user(request)
        return found is request.user._wrapped and found is get_user(request)  # type: ignore[union-attr]

    with counted_trips() as trips, django_assert_num_queries(1):
        is_same = visit(ben, lambda request: (request.user.is_active, view(request))[1], is_complete=True)

    assert len(trips) == 1
    assert is_same


async def test_aget_user_costs_what_request_auser_costs() -> None:
    token = await sync_to_async(sign_in)("ben")
    await sync_to_async(SessionStore(token=token).save)()
    await sync_to_async(name_of)(token)
    request = request_with(token)
    SessionMiddleware(lambda request: HttpResponse()).process_request(request)
    AuthenticationMiddleware(lambda request: HttpResponse()).process_request(request)

    with counted_trips() as trips:
        found = await aget_user(request)
        again = await request.auser()

    assert (found.get_username(), again) == ("ben", found)
    assert found is again
    assert len(trips) == 1


async def test_concurrent_reads_find_the_user(ben: SessionToken) -> None:
    request = request_with(ben)
    SessionMiddleware(lambda request: HttpResponse()).process_request(request)

    found = await asyncio.gather(*(aget_user(request) for _ in range(6)))

    assert {user.get_username() for user in found} == {"ben"}


def test_page_that_does_not_ask_costs_nothing(ben: SessionToken) -> None:
    with counted_trips() as trips:
        visit(ben, lambda request: None)

    assert len(trips) == 0


# --- and only the user -----------------------------------------------------------------------


def test_get_user_finds_nobody_after_a_sign_out_elsewhere(ben: SessionToken) -> None:
    end(ben)

    assert name_of(ben) == ""


@pytest.mark.parametrize("change", [{"is_active": False}, {"not_before": 2**40}])
def test_get_user_refuses_whom_the_site_refuses(ben: SessionToken, change: dict[str, Any]) -> None:
    Account.objects.update(**change)

    assert name_of(ben) == ""


def test_get_user_refuses_a_user_without_access_to_the_site() -> None:
    assert name_of(sign_in("mallory", sites={})) == ""


def test_get_user_finds_nobody_after_logout_in_the_same_request(ben: SessionToken) -> None:
    def view(request: HttpRequest) -> Any:
        assert get_user(request).is_authenticated
        logout(request)
        return get_user(request)

    assert visit(ben, view) == AnonymousUser()
    assert not has_identity(ben)


def test_get_user_does_not_honour_the_local_login_of_a_linked_user(client: Client) -> None:
    eve = User.objects.create_user("eve")
    client.force_login(eve, MODEL_BACKEND)
    key = client.cookies["__Host-session"].value
    request = HttpRequest()
    request.session = SessionStore(key)
    assert get_user(request) == eve
    Account.objects.create(sub=testing.subject("eve"), user=eve, version=1)

    request.session = SessionStore(key)

    assert get_user(request) == AnonymousUser()
    assert not SessionStore(key).exists(key)


async def test_aget_user_does_not_honour_the_local_login_of_a_linked_user(async_client: Any) -> None:
    eve = await User.objects.acreate_user("eve")
    await async_client.aforce_login(eve, MODEL_BACKEND)
    await Account.objects.acreate(sub=testing.subject("eve"), user=eve, version=1)
    request = HttpRequest()
    request.session = SessionStore(async_client.cookies["__Host-session"].value)

    assert await aget_user(request) == AnonymousUser()


def test_refused_local_login_over_a_single_sign_on_costs_the_user_no_data(client: Client) -> None:
    testing.sign_in(client, "ben")
    client.get("/put/?address=Bens")
    eve = User.objects.create_user("eve")
    client.get("/local-login/?username=eve")
    Account.objects.create(sub=testing.subject("eve"), user=eve, version=1)
    request = HttpRequest()
    request.session = SessionStore(client.cookies["__Host-session"].value, token=token_of(client))

    first, second = get_user(request), get_user(request)

    assert (first, second.get_username()) == (AnonymousUser(), "ben")
    assert client.get("/show/").json() == {"address": "Bens"}


# --- what a session shows, and what it stores ------------------------------------------------


def test_session_answers_the_keys_of_a_login_and_stores_none(ben: SessionToken) -> None:
    user = User.objects.get(username="ben")
    session = SessionStore(token=ben)

    answers = [session[key] for key in LOGIN_KEYS]

    assert answers == [str(user.pk), SSO_BACKEND, user.get_session_auth_hash()]
    assert [session.get(key) for key in LOGIN_KEYS] == answers
    assert dict(session) == dict(session.items()) == {}
    assert not any(key in session for key in LOGIN_KEYS)
    session["a"] = 1
    session.save()
    assert not {key.encode() for key in LOGIN_KEYS} & store.client().hgetall(site_name(ben)).keys()


def test_anonymous_session_answers_none_of_the_keys() -> None:
    session = SessionStore()

    assert [session.get(key, "none") for key in LOGIN_KEYS] == ["none"] * 3
    with pytest.raises(KeyError):
        session[SESSION_KEY]


def cycle_key(request: HttpRequest) -> None:
    request.session.cycle_key()


def dump_and_restore(request: HttpRequest) -> None:
    """As products do that change the session key by hand."""
    saved = dict(request.session)
    request.session.flush()
    request.session.update(saved)


def repeat_login(request: HttpRequest) -> None:
    login(request, get_user(request))  # type: ignore[arg-type]


def set_the_keys_again(request: HttpRequest) -> None:
    request.session.update({key: request.session[key] for key in LOGIN_KEYS})


def change_password(request: HttpRequest) -> None:
    """As ``PasswordChangeView`` does. The user of the portal is not signed out by it."""
    user = get_user(request)
    user.set_password("new")
    user.save()
    request.user = user
    update_session_auth_hash(request, user)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "act", [cycle_key, dump_and_restore, repeat_login, set_the_keys_again, change_password]
)
def test_attack_single_sign_on_becomes_a_local_login(
    ben: SessionToken, settings: Any, act: Callable[[HttpRequest], None]
) -> None:
    """A local login would outlive the sign-out at the portal."""
    settings.SSO_LOCAL_LOGIN = True
    names = set(store.client().keys("*"))

    def view(request: HttpRequest) -> HttpRequest:
        act(request)
        request.session["a"] = 1
        return request

    request = visit(ben, view)

    assert request.session.token == ben
    assert set(store.client().keys("*")) - {site_name(ben).encode()} == names - {site_name(ben).encode()}
    assert name_of(ben) == "ben"
    end(ben)
    assert name_of(ben) == ""


def test_attack_copied_keys_open_no_session_after_the_sign_out(ben: SessionToken) -> None:
    def view(request: HttpRequest) -> bool:
        copied = {key: request.session[key] for key in LOGIN_KEYS}
        logout(request)
        with pytest.raises(LocalLoginRefused):
            request.session.update(copied)
        return request.session.has_local_login()

    assert not visit(ben, view)


def test_attack_copy_of_a_session_object_is_no_local_login(ben: SessionToken) -> None:
    session = SessionStore(token=ben)
    assert session[SESSION_KEY]

    copied = copy.copy(session)

    assert copied.token == ben
    assert not copied.has_local_login()


def test_login_of_another_user_keeps_the_data_of_the_first(ben: SessionToken) -> None:
    """Django's ``login`` flushes the session of another user."""
    eve = User.objects.create_user("eve")
    visit(ben, lambda request: request.session.update({"address": "Bens"}))

    def view(request: HttpRequest) -> str:
        assert get_user(request).get_username() == "ben"
        login(request, eve, MODEL_BACKEND)
        return get_user(request).get_username()

    assert visit(ben, view) == "eve"
    assert dict(SessionStore(token=ben)) == {"address": "Bens"}


def test_attack_user_of_an_earlier_request_in_the_same_thread(ben: SessionToken, settings: Any) -> None:
    """The user has been deactivated since. A leftover of the earlier request would still be active."""
    settings.SSO_LOCAL_LOGIN = True
    user = User.objects.get(username="ben")
    visit(ben, lambda request: [request.session[key] for key in LOGIN_KEYS])
    User.objects.update(is_active=False)
    local = SessionStore()
    local.update(
        {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: SSO_BACKEND,
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }
    )
    request = HttpRequest()
    request.session = local

    assert get_user(request) == AnonymousUser()


def test_attack_user_of_an_earlier_request_for_code_that_reads_no_session(ben: SessionToken) -> None:
    user = User.objects.get(username="ben")
    visit(ben, lambda request: request.session[BACKEND_SESSION_KEY])
    User.objects.update(is_active=False)

    assert visit(sign_in("anna"), lambda request: load_backend(SSO_BACKEND).get_user(user.pk)) is None


@pytest.mark.parametrize("class_", [RemoteUserMiddleware, PersistentRemoteUserMiddleware])
def test_remote_user_middleware_signs_no_user_of_the_portal_out(ben: SessionToken, class_: type) -> None:
    """It logs out users whose backend it does not know."""

    def view(request: HttpRequest) -> str:
        return request.user.get_username()

    def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse(view(request))

    chain = SessionMiddleware(AuthenticationMiddleware(class_(get_response)))

    assert chain(request_with(ben)).content == b"ben"
    assert has_identity(ben)
