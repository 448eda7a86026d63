"""Products with an authentication middleware of their own, beside that of ``sso_common``."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sso_common import testing
from tests.sso_common.tools import counted_trips, end, has_identity, token_of

from . import middleware

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

OURS = "sso_common.middleware.AuthenticationMiddleware"
LOGIN = "/sso/login/"


def add(settings: Any, class_: type) -> None:
    """Put a product's middleware after ours."""
    at = settings.MIDDLEWARE.index(OURS) + 1
    path = f"{class_.__module__}.{class_.__name__}"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:at], path, *settings.MIDDLEWARE[at:]]


# --- middlewares that ask Django who is signed in --------------------------------------------


@pytest.fixture(params=[middleware.WeblateLike, middleware.LazyCopy])
def product(request: pytest.FixtureRequest, settings: Any) -> None:
    add(settings, request.param)


@pytest.mark.usefixtures("product")
def test_user_of_the_portal_is_signed_in(client: Client, django_assert_num_queries: Any) -> None:
    testing.sign_in(client, "anna")
    assert client.get("/user/").content == b"anna"

    with counted_trips() as trips, django_assert_num_queries(1):
        assert client.get("/private/").content == b"private"
    assert len(trips) == 1


@pytest.mark.usefixtures("product")
def test_user_without_a_permission_gets_403_and_no_redirect_loop(client: Client) -> None:
    testing.sign_in(client, "anna")

    assert client.get("/needs-permission/").status_code == 403


@pytest.mark.usefixtures("product")
def test_local_user_without_a_permission_gets_403_and_no_redirect_loop(client: Client) -> None:
    client.force_login(User.objects.create_user("dora"), "django.contrib.auth.backends.ModelBackend")

    assert client.get("/needs-permission/").status_code == 403


@pytest.mark.usefixtures("product")
def test_visitor_is_sent_to_the_portal(client: Client) -> None:
    assert client.get("/user/").content == b"visitor"
    assert client.get("/private/")["Location"] == "/sso/login/?next=/private/"
    assert client.get(LOGIN).status_code == 302


@pytest.mark.usefixtures("product")
def test_sign_out_and_refusals_work_as_without_the_product(client: Client) -> None:
    testing.sign_in(client, "anna")
    client.get("/sign-out/")
    assert not has_identity(token_of(client))
    assert client.get("/user/").content == b"visitor"

    testing.sign_in(client, "mallory", sites={})
    assert client.get("/private/").status_code == 403


# --- middlewares that do not -----------------------------------------------------------------


@pytest.mark.parametrize("class_", [middleware.OwnCookie, middleware.LateOwnCookie])
@pytest.mark.parametrize("address", [LOGIN, f"{LOGIN}?returned=1", "/private/"])
def test_user_whom_a_middleware_replaced_reads_the_true_reason(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture, class_: type, address: str
) -> None:
    """Not that the browser sent no cookie. And no redirect: the portal cannot help."""
    add(settings, class_)
    testing.sign_in(client, "anna")

    with caplog.at_level(logging.WARNING, "sso_common.views"):
        response = client.get(address, follow=True)

    assert response.status_code == 403
    assert "<code>user-replaced</code>" in response.text
    assert "sso_doctor" in response.text
    assert "tests.sso_common.products.middleware.Visitor" in caplog.text


def test_other_reasons_are_told_below_such_a_middleware_too(client: Client, settings: Any) -> None:
    add(settings, middleware.OwnCookie)
    testing.sign_in(client, "anna")
    end(token_of(client))

    assert "<code>ended</code>" in client.get(f"{LOGIN}?returned=1").text
    assert "<code>no-cookie</code>" in Client().get(f"{LOGIN}?returned=1").text
    assert Client().get(LOGIN).status_code == 302
