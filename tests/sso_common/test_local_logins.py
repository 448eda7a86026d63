"""Local logins of users who are linked to a subject: refused, except for a superuser in an emergency."""

from __future__ import annotations

import time
from typing import Any

import pytest
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


async def test_attack_local_login_of_a_linked_user_async(async_client: Any) -> None:
    user = await User.objects.acreate_user("eve async", password=PASSWORD)
    await Account.objects.acreate(sub=testing.subject("eve async"), user=user, version=1)

    assert not await async_client.alogin(username="eve async", password=PASSWORD)
    await async_client.aforce_login(user, "django.contrib.auth.backends.ModelBackend")

    assert (await async_client.get("/async/user/")).content == b"nobody"
