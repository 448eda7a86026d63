"""The local login of stock Django, which a site may keep: alone, and beside a signed-in session."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sso_common import store, testing
from tests.sso_common.tools import anonymous_name, has_identity, token_of

COOKIE = "__Host-session"


@pytest.mark.parametrize("backend", [None, "django.contrib.auth.backends.ModelBackend"])
def test_force_login_works_as_in_stock_django(client: Client, operator: User, backend: str | None) -> None:
    client.force_login(operator, backend=backend)

    assert client.get("/user/").content == b"operator"
    assert client.get("/private/").status_code == 200
    assert client.get("/identity/").json() == {}


def test_password_login_works_as_in_stock_django(client: Client, operator: User) -> None:
    assert client.login(username="operator", password="of-the-tests")
    assert not Client().login(username="operator", password="wrong")

    assert client.get("/user/").content == b"operator"


def test_logout_works_as_in_stock_django(client: Client, operator: User) -> None:
    client.force_login(operator)
    key = client.cookies[COOKIE].value

    client.logout()

    assert client.get("/user/").content == b"nobody"
    assert not store.client().exists(anonymous_name(key))


def test_local_login_changes_the_session_key_and_keeps_the_data(client: Client, operator: User) -> None:
    client.get("/put/?cart=mug")
    before = client.cookies[COOKIE].value

    client.get("/local-login/?username=operator")

    assert client.cookies[COOKIE].value != before
    assert not store.client().exists(anonymous_name(before))
    assert client.get("/show/").json()["cart"] == "mug"


def test_password_change_ends_a_local_login(client: Client, operator: User) -> None:
    client.force_login(operator)
    operator.set_password("another")
    operator.save()

    assert client.get("/user/").content == b"nobody"


def test_deletion_of_the_user_ends_a_local_login(client: Client, operator: User) -> None:
    client.force_login(operator)
    operator.delete()

    assert client.get("/user/").content == b"nobody"


def test_user_refused_by_the_site_can_still_log_in_locally(client: Client, operator: User) -> None:
    testing.sign_in(client, "anna", sites={})

    client.get("/local-login/?username=operator")

    assert client.get("/user/").content == b"operator"


# --- beside a signed-in session --------------------------------------------------------------


def test_local_login_inside_a_signed_in_session_wins(visitor: Client, operator: User) -> None:
    """A superuser in an emergency, in a browser that is signed in at the portal."""
    visitor.get("/local-login/?username=operator")

    assert visitor.get("/user/").content == b"operator"
    assert visitor.get("/identity/").json() == {}
    assert has_identity(token_of(visitor))


def test_ended_local_login_leaves_the_user_of_the_portal(visitor: Client, operator: User) -> None:
    visitor.get("/local-login/?username=operator")
    operator.set_password("another")
    operator.save()

    assert visitor.get("/user/").content == b"anna"


def test_flush_ends_the_local_login_alone(visitor: Client, operator: User) -> None:
    """As for a user of the portal, ``flush`` is no sign-out: that is ``logout``, below."""
    visitor.get("/put/?address=of-anna")
    visitor.get("/local-login/?username=operator")
    visitor.get("/put/?address=of-operator")
    key = visitor.cookies[COOKIE].value

    visitor.get("/flush/")

    assert visitor.get("/user/").content == b"anna"
    assert visitor.get("/show/").json() == {"address": "of-anna"}
    assert not store.client().exists(anonymous_name(key))


def test_logout_ends_the_local_login_and_the_signed_in_session(visitor: Client, operator: User) -> None:
    visitor.get("/local-login/?username=operator")

    visitor.get("/sign-out/")

    assert visitor.get("/user/").content == b"nobody"
    assert not has_identity(token_of(visitor))
