"""Local logins of users who are linked to a subject: refused, except for a superuser in an emergency."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.test import Client

from sso_common import testing
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot
from sso_common.users import link_user, upsert_users

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

EMERGENCY = "/admin/login/?local"
PASSWORD = "of-the-tests"


@pytest.fixture
def linked() -> User:
    """A user who has got a password of this site, as from a password reset."""
    user = User.objects.create_superuser("eve", "eve@example.com", PASSWORD)
    link_user(user, snapshot(1), keep_password=True)
    # The mapper has no say in superusers; staff comes from a role.
    User.objects.update(is_staff=True, is_superuser=True)
    return User.objects.get()


def snapshot(version: int, **changes: Any) -> UserSnapshot:
    known = {"username": "eve", "email": "eve@example.com", "roles": frozenset({"staff"})}
    return UserSnapshot(sub=testing.subject("eve"), version=version, **{**known, **changes})


def log_in(client: Client, address: str) -> str:
    """Who is signed in after the form at an address was sent."""
    client.post(address, {"username": "eve", "password": PASSWORD})
    return client.get("/user/").content.decode()


def test_attack_second_password_of_a_linked_user(client: Client, linked: User) -> None:
    assert not client.login(username="eve", password=PASSWORD)
    assert log_in(client, "/admin/login/") == "nobody"


def test_attack_local_login_that_went_past_authenticate(client: Client, linked: User) -> None:
    client.force_login(linked, "django.contrib.auth.backends.ModelBackend")

    assert client.get("/user/").content == b"nobody"


def test_linked_superuser_can_log_in_in_an_emergency(client: Client, linked: User) -> None:
    assert log_in(client, EMERGENCY) == "eve"
    assert client.get("/admin/").status_code == 200


def test_linked_user_who_is_no_superuser_has_no_emergency(client: Client, linked: User) -> None:
    User.objects.update(is_superuser=False)

    assert log_in(client, EMERGENCY) == "nobody"


def test_site_can_allow_local_logins_of_linked_users(client: Client, linked: User, settings: Any) -> None:
    settings.SSO_LOCAL_LOGIN = True

    assert client.login(username="eve", password=PASSWORD)
    assert client.get("/user/").content == b"eve"


def test_unlinked_users_log_in_as_in_stock_django(client: Client) -> None:
    User.objects.create_user("dora", password=PASSWORD)

    assert client.login(username="dora", password=PASSWORD)
    assert client.get("/user/").content == b"dora"


@pytest.mark.parametrize("allowed", [True, False])
def test_sign_out_everywhere_ends_local_logins(
    client: Client, linked: User, settings: Any, allowed: bool
) -> None:
    settings.SSO_LOCAL_LOGIN = allowed
    assert log_in(client, EMERGENCY) == "eve"

    upsert_users([snapshot(2, not_before=int(time.time()) + 1)])

    assert client.get("/user/").content == b"nobody"


def test_deactivation_ends_local_logins(client: Client, linked: User) -> None:
    assert log_in(client, EMERGENCY) == "eve"

    # The feed deactivates the account; something at the site has activated the user again.
    upsert_users([snapshot(2, is_active=False)])
    User.objects.update(is_active=True)

    assert Account.objects.get().is_active is False
    assert client.get("/user/").content == b"nobody"


# --- backends of a site that know nothing of the portal ------------------------------------------

FORM = "/local-login/form/?next=/private/"


class EmailBackend(ModelBackend):
    """Accepts the email address in place of the username, as many products do."""

    def authenticate(self, request: Any, username: str | None = None, password: Any = None, **_: Any) -> Any:
        users = User.objects.filter(email__iexact=username)
        return next((user for user in users if user.check_password(password)), None)


class LinkBackend(ModelBackend):
    """Needs no password: as with a link in an email, or a sign-in at another provider."""

    def authenticate(self, request: Any, link: str = "", **_: Any) -> Any:  # type: ignore[override]
        return User.objects.filter(username=link).first()


OWN_BACKENDS = [f"{__name__}.EmailBackend", f"{__name__}.LinkBackend"]


@pytest.fixture(params=["before ours", "after ours"])
def own_backends(request: pytest.FixtureRequest, settings: Any) -> None:
    """A site with backends of its own."""
    ours = settings.AUTHENTICATION_BACKENDS
    settings.AUTHENTICATION_BACKENDS = (
        [*OWN_BACKENDS, *ours] if request.param == "before ours" else [*ours, *OWN_BACKENDS]
    )


@pytest.mark.urls("tests.login_form_urls")
def test_linked_user_is_told_to_sign_in_at_the_portal(client: Client, linked: User, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*OWN_BACKENDS, *settings.AUTHENTICATION_BACKENDS]

    response = client.post(FORM, {"username": "eve@example.com", "password": PASSWORD})

    assert response.status_code == 403
    assert "You have an account at the portal" in response.text
    assert 'href="http://testserver/sso/login/?next=%2Fprivate%2F"' in response.text
    assert client.get("/user/").content == b"nobody"


@pytest.mark.urls("tests.login_form_urls")
def test_script_is_told_to_sign_in_at_the_portal(client: Client, linked: User, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*OWN_BACKENDS, *settings.AUTHENTICATION_BACKENDS]
    form = {"username": "eve@example.com", "password": PASSWORD}

    response = client.post(FORM, form, headers={"accept": "application/json"})

    assert (response.status_code, response.json()["error"]) == (403, "local_login")


@pytest.mark.usefixtures("own_backends")
def test_admin_form_says_that_a_linked_user_signs_in_at_the_portal(client: Client, linked: User) -> None:
    User.objects.update(is_superuser=False)

    response = client.post(EMERGENCY, {"username": "eve@example.com", "password": PASSWORD})

    assert response.status_code == 200
    assert "You have an account at the portal" in response.text
    assert client.get("/user/").content == b"nobody"


@pytest.mark.usefixtures("own_backends")
def test_attack_login_without_a_password_of_a_linked_user(client: Client, linked: User) -> None:
    user = authenticate(link="eve")

    assert client.get(f"/local-login/?username={user.username}").status_code == 403
    assert client.get("/user/").content == b"nobody"


@pytest.mark.parametrize("credentials", [{"username": "EVE@example.com"}, {"email": "eve@example.com"}])
def test_attack_password_with_the_address_of_a_linked_user(
    linked: User, settings: Any, credentials: dict[str, str]
) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.AnyBackend"]

    assert authenticate(**credentials, password=PASSWORD) is None


class AnyBackend(ModelBackend):
    def authenticate(self, request: Any, **credentials: Any) -> Any:
        return User.objects.first()


def test_unlinked_user_with_the_same_address_can_log_in(linked: User, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.EmailBackend"]
    dora = User.objects.create_user("dora", "eve@example.com", "of dora")

    assert authenticate(username="EVE@example.com", password="of dora") == dora


def test_refused_login_leaves_the_cart_and_the_user_of_the_portal_alone(client: Client, linked: User) -> None:
    client.get("/put/?cart=mug")
    assert client.get("/local-login/?username=eve").status_code == 403
    assert client.get("/show/").json() == {"cart": "mug"}

    testing.sign_in(client, "ben")
    client.get("/put/?address=Bens")
    assert client.get("/local-login/?username=eve").status_code == 403

    assert client.get("/user/").content == b"ben"
    assert client.get("/show/").json() == {"cart": "mug", "address": "Bens"}


def test_user_of_the_portal_may_repeat_their_own_login(client: Client) -> None:
    testing.sign_in(client, "ben", roles=["editor"])
    client.get("/user/")

    assert client.get("/local-login/own/?username=ben").status_code == 200

    assert client.get("/identity/").json()["roles"] == ["editor"]
    assert client.get("/show/").json() == {"kept": 1}


async def test_linked_user_is_told_to_sign_in_at_the_portal_async(async_client: Any) -> None:
    user = await User.objects.acreate_user("eve async")
    await Account.objects.acreate(sub=testing.subject("eve async"), user=user, version=1)

    response = await async_client.get("/async/local-login/?username=eve async")

    assert response.status_code == 403
    assert (await async_client.get("/async/user/")).content == b"nobody"


async def test_attack_local_login_of_a_linked_user_async(async_client: Any) -> None:
    user = await User.objects.acreate_user("eve async", password=PASSWORD)
    await Account.objects.acreate(sub=testing.subject("eve async"), user=user, version=1)

    assert not await async_client.alogin(username="eve async", password=PASSWORD)
    await async_client.aforce_login(user, "django.contrib.auth.backends.ModelBackend")

    assert (await async_client.get("/async/user/")).content == b"nobody"
