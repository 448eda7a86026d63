"""``sso_common.testing``, the helpers for a site's own tests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.test import Client

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
