"""Pages for users only: redirect to the login view, 401 for scripts, 403 instead of a redirect loop."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sso_common import conf, testing
from tests.sso_common.tools import sets_no_cookie

JSON = {"accept": "application/json"}
SCRIPTS = {
    "accepts json": JSON,
    "prefers json": {"accept": "application/json, text/html;q=0.5"},
    "fetch": {"sec-fetch-mode": "cors", "accept": "*/*"},
    "fetch of the same origin": {"sec-fetch-mode": "same-origin"},
    "older library": {"x-requested-with": "XMLHttpRequest"},
}
NAVIGATIONS = {
    "browser": {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-mode": "navigate"},
    "program that accepts anything": {"accept": "*/*"},
    "program without an Accept header": {},
    "older browser": {"accept": "text/html"},
}


# --- anonymous visitors ----------------------------------------------------------------------


@pytest.mark.parametrize("headers", NAVIGATIONS.values(), ids=NAVIGATIONS)
def test_navigation_is_redirected_to_the_login_view(client: Client, headers: dict[str, str]) -> None:
    response = client.get("/private/?page=2", headers=headers)

    assert response.status_code == 302
    assert response["Location"] == "/sso/login/?next=/private/%3Fpage%3D2"


@pytest.mark.parametrize("headers", SCRIPTS.values(), ids=SCRIPTS)
def test_script_gets_401_and_no_redirect(client: Client, headers: dict[str, str]) -> None:
    response = client.get("/private/", headers=headers)

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("SSO realm=")
    assert response.json()["error"] == "not_signed_in"
    assert response.json()["login"] == "http://testserver/sso/login/"
    assert "no-store" in response["Cache-Control"]
    assert sets_no_cookie(response)


def test_permission_required_redirects_an_anonymous_visitor(client: Client) -> None:
    assert client.get("/needs-permission/")["Location"].startswith("/sso/login/?next=")


# --- users without access to the site --------------------------------------------------------


@pytest.mark.parametrize("headers", [*SCRIPTS.values(), *NAVIGATIONS.values()], ids=[*SCRIPTS, *NAVIGATIONS])
def test_user_without_access_gets_403_and_no_redirect(client: Client, headers: dict[str, str]) -> None:
    testing.sign_in(client, "mallory", sites={"site_b": ["admin"]})

    response = client.get("/private/", headers=headers)

    assert response.status_code == 403
    assert not User.objects.exists()


def test_page_without_access_links_to_the_portal(client: Client) -> None:
    testing.sign_in(client, "mallory", sites={})

    response = client.get("/private/")

    assert f'href="{conf.dsn().portal_url}/"' in response.text


# --- users without a permission --------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, JSON], ids=["page", "json"])
@pytest.mark.parametrize("path", ["", "?page=2", "ü/"])
def test_missing_permission_is_403_and_no_redirect_loop(
    visitor: Client, path: str, headers: dict[str, str]
) -> None:
    """``permission_required`` redirects to the login view, which would redirect straight back."""
    assert visitor.get(f"/needs-permission/{path}", headers=headers).status_code == 403


def test_missing_permission_is_403_for_a_local_login(client: Client) -> None:
    client.force_login(User.objects.create_user("local"))

    assert client.get("/needs-permission/").status_code == 403


# --- redirects that stay ---------------------------------------------------------------------


def test_view_may_redirect_to_the_login_view_after_logout(visitor: Client) -> None:
    response = visitor.get("/sign-out-and-in/")

    assert (response.status_code, response["Location"]) == (302, "/sso/login/")


def test_view_may_redirect_to_another_page_through_the_login_view(visitor: Client) -> None:
    response = visitor.get("/through-login/", follow=True)

    assert response.redirect_chain == [("/sso/login/?next=/user/", 302), ("/user/", 302)]
    assert response.content == b"anna"


def test_other_redirects_are_not_changed(visitor: Client) -> None:
    response = visitor.get("/user")  # CommonMiddleware appends the slash

    assert (response.status_code, response["Location"]) == (301, "/user/")
