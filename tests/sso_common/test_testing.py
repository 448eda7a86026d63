"""``sso_common.testing``, the helpers for a site's own tests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from sso_common import conf, testing
from sso_common.keys import key_id

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def test_sign_in_signs_a_user_in_with_these_roles_and_fields(client: Client) -> None:
    identity = testing.sign_in(client, "anna", roles=["editor", "staff"], first_name="Anna")

    assert client.get("/identity/").json() == {"sub": str(identity.sub), "roles": ["editor", "staff"]}
    client.get("/user/")
    user = User.objects.get()
    assert (user.username, user.first_name, user.is_staff) == ("anna", "Anna", True)
    assert [group.name for group in user.groups.all()] == ["Editors"]


def test_subject_of_a_username_is_always_the_same() -> None:
    assert testing.subject("anna") == testing.subject("anna") != testing.subject("bert")
    assert str(testing.subject("anna")) == "ee877037-f434-5748-b0c5-78850fcc0e21"


def test_sign_in_can_make_users_without_access_and_expired_sessions(client: Client) -> None:
    testing.sign_in(client, "mallory", sites={})
    assert client.get("/private/").status_code == 403

    testing.sign_in(client, "anna", lifetime=0)
    assert client.get("/private/").status_code == 302


def test_sign_out_ends_the_session_and_keeps_the_cookie(client: Client) -> None:
    testing.sign_in(client, "anna")

    testing.sign_out(client)

    assert conf.dsn().cookie_name in client.cookies
    assert client.get("/user/").content == b"nobody"


def test_client_session_can_be_changed_by_a_test(client: Client) -> None:
    testing.sign_in(client, "anna")
    session = client.session
    session["cart"] = ["mug"]
    session.save()

    assert client.get("/show/").json() == {"cart": ["mug"]}


def test_two_clients_are_two_users() -> None:
    anna, bert = Client(), Client()
    testing.sign_in(anna, "anna")
    testing.sign_in(bert, "bert")

    assert (anna.get("/user/").content, bert.get("/user/").content) == (b"anna", b"bert")


def test_sign_in_explains_a_dsn_without_the_test_key(client: Client, settings) -> None:
    real_key = bytes(32)
    settings.SSO_DSN = str(replace(conf.dsn(), public_keys=((key_id(real_key), real_key),)))

    with pytest.raises(RuntimeError, match="set SSO_DSN to make_dsn"):
        testing.sign_in(client, "anna")


def test_attack_key_of_one_process_is_unknown_in_another() -> None:
    command = "from sso_common.testing import PUBLIC_KEY; print(PUBLIC_KEY[0])"

    other = subprocess.run(
        [sys.executable, "-c", command],
        env={"DJANGO_SETTINGS_MODULE": "django.conf.global_settings"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert other != testing.PUBLIC_KEY[0]
    assert len(other) == len(testing.PUBLIC_KEY[0])


def test_session_of_a_client_is_that_of_its_next_request(client: Client) -> None:
    testing.sign_in(client, "anna")
    client.get("/put/?cart=mug")

    session = client.session

    assert session["cart"] == "mug"
    assert session.identity.user.username == "anna"


async def test_session_of_an_async_client_is_that_of_its_next_request(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "anna")
    session = await async_client.asession()
    await session.aset("cart", "mug")
    await session.asave()

    assert (await async_client.get("/async/put/?a=1")).json() == {"cart": "mug", "a": "1"}


def test_force_login_prevails_over_an_earlier_sign_in(client: Client) -> None:
    testing.sign_in(client, "anna")

    client.force_login(User.objects.create_user("local"))

    assert client.get("/user/").content == b"local"
    assert client.get("/identity/").json() == {}


def test_sign_in_prevails_over_an_earlier_force_login(client: Client) -> None:
    client.force_login(User.objects.create_user("local"))

    testing.sign_in(client, "anna")

    assert client.get("/user/").content == b"anna"


def test_client_can_sign_in_twice_and_log_out(client: Client) -> None:
    testing.sign_in(client, "anna")
    testing.sign_in(client, "bert")
    assert client.get("/user/").content == b"bert"

    client.logout()

    assert client.get("/user/").content == b"nobody"
