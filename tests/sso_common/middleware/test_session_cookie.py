"""The site's own cookie: set for anonymous sessions, deleted when its session is gone.

A site never sets or deletes the SSO cookie.
"""

from __future__ import annotations

import pytest
from django.test import Client

from sso_common import conf, store, testing
from tests.sso_common.tools import (
    anonymous_name,
    end,
    names_in_redis,
    session_data,
    sets_no_cookie,
    token_of,
)

COOKIE = "__Host-session"


def test_anonymous_session_gets_a_host_only_cookie(client: Client, settings) -> None:
    settings.SESSION_COOKIE_DOMAIN = "testserver"

    response = client.get("/put/?cart=mug")

    (cookie,) = response.cookies.values()
    assert cookie.key == COOKIE
    assert (cookie["domain"], cookie["path"]) == ("", "/")
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert int(cookie["max-age"]) == settings.SESSION_COOKIE_AGE
    assert "Cookie" in response["Vary"]


def test_cookie_that_expires_at_browser_close_has_no_age(client: Client, settings) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True

    cookie = client.get("/put/?cart=mug").cookies[COOKIE]

    assert (cookie["max-age"], cookie["expires"]) == ("", "")


def test_signed_in_visitor_gets_no_cookie(visitor: Client) -> None:
    responses = [visitor.get(path) for path in ("/put/?a=1", "/user/", "/flush/", "/put/?b=2", "/show/")]

    assert all(sets_no_cookie(response) for response in responses)
    assert responses[-1].json() == {"b": "2"}


def test_site_never_sets_or_deletes_the_sso_cookie(visitor: Client) -> None:
    name = conf.dsn().cookie_name
    responses = [
        visitor.get("/put/?a=1"),
        visitor.get("/sso/login/?next=/show/"),
        visitor.post("/sso/logout/"),
        visitor.get("/put/?a=1"),
        visitor.get("/sso/login/?returned=1"),
    ]
    visitor.cookies[name] = "damaged"
    responses += [visitor.get("/put/?a=1"), visitor.get("/flush/")]

    assert not any(name in response.cookies for response in responses)


@pytest.mark.parametrize("path", ["/show/", "/user/", "/identity/", "/sso/login/"])
def test_page_that_depends_on_the_visitor_varies_by_cookie(visitor: Client, path: str) -> None:
    assert "Cookie" in visitor.get(path)["Vary"]


# --- deleting the cookie ---------------------------------------------------------------------


def test_cookie_of_an_adopted_session_is_deleted(client: Client) -> None:
    client.get("/put/?cart=mug")
    testing.sign_in(client, "anna")

    response = client.get("/show/")

    assert response.json() == {"cart": "mug"}
    cookie = response.cookies[COOKIE]
    assert (cookie.value, cookie["max-age"], cookie["path"], cookie["domain"]) == ("", 0, "/", "")
    assert cookie["secure"] is True  # or browsers ignore the deletion
    assert COOKIE not in client.get("/show/").cookies


def test_cookie_of_an_unknown_session_is_deleted(client: Client) -> None:
    client.cookies[COOKIE] = "expired-or-never-issued"

    response = client.get("/show/")

    assert response.cookies[COOKIE].value == ""
    assert "Cookie" in response["Vary"]


def test_page_that_does_not_read_the_session_keeps_even_a_stale_cookie(client: Client) -> None:
    client.cookies[COOKIE] = "expired-or-never-issued"

    assert sets_no_cookie(client.get("/"))


def test_cookie_of_a_flushed_session_is_deleted(client: Client) -> None:
    client.get("/put/?cart=mug")

    response = client.get("/flush/")

    assert response.cookies[COOKIE].value == ""
    assert names_in_redis() == set()


def test_flush_without_a_session_sets_no_cookie(client: Client) -> None:
    response = client.get("/flush/")

    assert sets_no_cookie(response)
    assert "Cookie" in response["Vary"]


# --- SESSION_SAVE_EVERY_REQUEST --------------------------------------------------------------


class TestSaveEveryRequest:
    @pytest.fixture(autouse=True)
    def _save_every_request(self, settings) -> None:
        settings.SESSION_SAVE_EVERY_REQUEST = True

    def test_page_that_does_not_read_an_anonymous_session_renews_it(self, client: Client) -> None:
        client.get("/put/?cart=mug")
        name = anonymous_name(client.cookies[COOKIE].value)
        store.client().pexpire(name, 60_000)

        response = client.get("/")

        assert store.client().pttl(name) > 60_000
        assert response.cookies[COOKIE].value == client.cookies[COOKIE].value
        assert "Cookie" in response["Vary"]

    def test_cookie_of_an_unknown_session_is_deleted(self, client: Client) -> None:
        client.cookies[COOKIE] = "expired-or-never-issued"

        response = client.get("/")

        assert response.status_code == 200
        assert response.cookies[COOKIE].value == ""
        assert names_in_redis() == set()

    def test_visitor_without_cookies_gets_none(self, client: Client) -> None:
        assert sets_no_cookie(client.get("/"))
        assert names_in_redis() == set()

    def test_visitor_whose_session_has_ended_gets_no_cookie(self, visitor: Client) -> None:
        end(token_of(visitor))

        response = visitor.get("/")

        assert response.status_code == 200
        assert sets_no_cookie(response)

    def test_signed_in_session_is_saved_without_a_cookie(self, visitor: Client) -> None:
        visitor.get("/put/?a=1")

        assert sets_no_cookie(visitor.get("/"))
        assert session_data(visitor) == {"a": "1"}
