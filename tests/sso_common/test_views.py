"""The login view, which sends visitors to the portal; the logout view; the health page."""

from __future__ import annotations

import html
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from django.test import Client

from sso_common import conf, testing
from sso_common.models import Account, FeedCursor
from sso_common.tokens import mint_token
from sso_common.views import EXPLANATIONS
from tests.servers import ValkeyServer
from tests.sso_common.tools import (
    counted_commands,
    end,
    has_identity,
    names_in_redis,
    record_name,
    sets_no_cookie,
    token_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

JSON = {"accept": "application/json"}
LOGIN = "/sso/login/"


@pytest.fixture
def visitor(client: Client) -> Client:
    testing.sign_in(client, "anna")
    return client


def next_of(address: str) -> str:
    (value,) = parse_qs(urlsplit(address).query)["next"]
    return value


# --- the login view --------------------------------------------------------------------------


def test_login_redirects_to_the_portal_and_from_there_to_itself(client: Client) -> None:
    response = client.get(LOGIN, {"next": "/private/?page=2"})

    assert response.status_code == 302
    portal = urlsplit(response["Location"])
    assert f"{portal.scheme}://{portal.netloc}{portal.path}" == f"{conf.dsn().portal_url}/sso/v1/enter"
    back = urlsplit(next_of(response["Location"]))
    assert (back.scheme, back.netloc, back.path) == ("http", "testserver", "/sso/login/")
    assert parse_qs(back.query) == {"next": ["/private/?page=2"], "returned": ["1"]}
    assert sets_no_cookie(response)
    assert "no-store" in response["Cache-Control"]


def test_login_over_https_returns_over_https(client: Client) -> None:
    response = client.get(LOGIN, secure=True)

    assert next_of(response["Location"]).startswith("https://testserver/sso/login/")


def test_login_returns_to_the_host_of_the_request(client: Client, settings) -> None:
    settings.ALLOWED_HOSTS = ["a.testserver"]

    response = client.get(LOGIN, headers={"host": "a.testserver:8001"})

    assert next_of(response["Location"]).startswith("http://a.testserver:8001/sso/login/")


def test_login_redirects_a_returning_user_to_the_next_page(visitor: Client) -> None:
    response = visitor.get(LOGIN, {"next": "/private/?page=2", "returned": "1"})

    assert (response.status_code, response["Location"]) == (302, "/private/?page=2")


def test_login_of_a_signed_in_user_does_not_leave_the_site(visitor: Client) -> None:
    assert visitor.get(LOGIN, {"next": "/private/"})["Location"] == "/private/"


def test_login_without_next_redirects_to_the_home_page(visitor: Client) -> None:
    assert visitor.get(LOGIN)["Location"] == "/"


def test_home_page_is_login_redirect_url(visitor: Client, settings) -> None:
    settings.LOGIN_REDIRECT_URL = "sso:health"

    assert visitor.get(LOGIN)["Location"] == "/sso/health/"


def test_user_signed_in_elsewhere_reaches_the_page(client: Client) -> None:
    page = client.get("/private/")
    to_portal = client.get(page["Location"])
    testing.sign_in(client, "anna")  # what the portal does
    back = urlsplit(next_of(to_portal["Location"]))

    response = client.get(f"{back.path}?{back.query}", follow=True)

    assert response.redirect_chain == [("/private/", 302)]
    assert response.content == b"private"


# --- back from the portal, and not signed in -------------------------------------------------


def returned(client: Client):
    """Return from the portal."""
    return client.get(LOGIN, {"next": "/private/", "returned": "1"})


def with_two_cookies(client: Client):
    name, value = conf.dsn().cookie_name, token_of(client).value
    client.cookies.clear()
    cookies = f"{name}={value}; {name}={mint_token().value}"
    return client.get(LOGIN, {"returned": "1"}, headers={"cookie": cookies})


def without_cookie(client: Client):
    client.cookies.clear()
    return returned(client)


def after(spoil) -> object:
    """Return from the portal after something has gone wrong."""

    def come_back(client: Client):
        spoil(client)
        return returned(client)

    return come_back


def set_cookie(value: str):
    return lambda client: client.cookies.__setitem__(conf.dsn().cookie_name, value)


def sign_with_unknown_key(client: Client) -> None:
    token = token_of(client)
    record = testing.sign_record(testing.make_identity(token), Ed25519PrivateKey.generate())
    testing.store_record(token.sid, record)


def break_the_signature(client: Client) -> None:
    token = token_of(client)
    record = testing.sign_record(testing.make_identity(token))
    testing.store_record(token.sid, record[:-9] + b"AAAAAAAAA")


def change_account(**values):
    def change(client: Client) -> None:
        client.get("/user/")
        Account.objects.update(**values)

    return change


#: Reason -> a visitor's return from the portal that ends with it.
RETURNS = {
    "no-cookie": without_cookie,
    "malformed-cookie": after(set_cookie("damaged")),
    "two-cookies": with_two_cookies,
    "ended": after(lambda client: end(token_of(client))),
    "expired": after(lambda client: testing.sign_in(client, "anna", lifetime=0)),
    "revoked": after(change_account(not_before=2**40)),
    "inactive": after(change_account(is_active=False)),
    "unknown-key": after(sign_with_unknown_key),
    "bad-signature": after(break_the_signature),
}


@pytest.mark.parametrize(("reason", "come_back"), RETURNS.items(), ids=RETURNS)
def test_visitor_who_returns_signed_out_gets_the_reason_and_no_redirect(
    visitor: Client, reason: str, come_back
) -> None:
    response = come_back(visitor)

    assert response.status_code == 403
    assert f"<code>{reason}</code>" in response.text
    assert str(EXPLANATIONS[reason]).split("'")[0][:40] in response.text
    assert sets_no_cookie(response)


def test_every_reason_has_an_explanation() -> None:
    # products/test_middleware.py has a middleware that replaces the user
    assert EXPLANATIONS.keys() - {"user-replaced"} == RETURNS.keys()


def test_page_with_the_reason_links_to_login_and_portal(client: Client) -> None:
    response = returned(client)

    assert 'href="/sso/login/?next=%2Fprivate%2F"' in response.text
    assert f'href="{conf.dsn().portal_url}/"' in response.text


def test_user_without_access_gets_403_before_and_after_the_portal(client: Client) -> None:
    testing.sign_in(client, "mallory", sites={"site_b": []})

    for address in (LOGIN, f"{LOGIN}?returned=1"):
        response = client.get(address)
        assert response.status_code == 403
        assert "You don't have access" in response.text
    assert not User.objects.exists()


@pytest.mark.parametrize("address", [LOGIN, f"{LOGIN}?next=/private/&returned=1"])
def test_login_by_a_script_is_401(client: Client, address: str) -> None:
    response = client.get(address, headers=JSON)

    assert response.status_code == 401
    assert response.json()["login"] == "http://testserver/sso/login/"


@pytest.mark.parametrize(
    "destination", ["/sso/login/", "/sso/login/?next=/sso/login/", "/sso/login/?returned=1"]
)
def test_login_view_as_its_own_next_page_does_not_loop(visitor: Client, destination: str) -> None:
    response = visitor.get(LOGIN, {"next": destination}, follow=True)

    assert response.status_code == 200
    assert len(response.redirect_chain) <= 4


def test_login_accepts_only_get_and_head(client: Client) -> None:
    assert client.post(LOGIN).status_code == 405
    assert client.head(LOGIN).status_code == 302


# --- the logout view -------------------------------------------------------------------------


def test_logout_ends_the_session_and_redirects_to_the_portal(visitor: Client) -> None:
    token = token_of(visitor)

    response = visitor.post("/sso/logout/")

    assert response.status_code == 303
    assert response["Location"].startswith(f"{conf.dsn().portal_url}/sso/v1/signed-out?")
    assert next_of(response["Location"]) == "http://testserver/"
    assert not has_identity(token)
    assert sets_no_cookie(response)


def test_logout_by_a_script_returns_the_portals_address(visitor: Client) -> None:
    response = visitor.post("/sso/logout/", headers=JSON)

    assert response.status_code == 200
    assert response.json()["signed_out"] is True
    assert response.json()["portal"].startswith(f"{conf.dsn().portal_url}/sso/v1/signed-out?")


def test_repeated_logout_is_no_error(visitor: Client) -> None:
    visitor.post("/sso/logout/")

    assert visitor.post("/sso/logout/").status_code == 303


def test_logout_ends_a_local_login(client: Client) -> None:
    client.force_login(User.objects.create_user("local"))

    response = client.post("/sso/logout/")

    assert client.get("/user/").content == b"nobody"
    assert response.cookies["__Host-session"].value == ""


def test_user_without_access_can_sign_out(client: Client) -> None:
    client.get("/put/?cart=mug")
    testing.sign_in(client, "mallory", sites={"site_b": []})

    client.post("/sso/logout/")

    assert not has_identity(token_of(client))


def test_deactivated_user_can_sign_out(visitor: Client) -> None:
    visitor.get("/user/")
    Account.objects.update(is_active=False)

    visitor.post("/sso/logout/")

    assert not has_identity(token_of(visitor))


# --- forms below a Content-Security-Policy ---------------------------------------------------

#: What a browser says of a request that began at a page of this site: a link, a form, and their redirects.
FROM_THIS_SITE = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}


def onward(response) -> str:
    """Where a page goes on to by itself. It says so to visitors, too."""
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    delay, _, address = response["Refresh"].partition("; url=")
    assert delay == "0"
    assert f'href="{html.escape(address)}"' in response.text
    assert "<script" not in response.text
    return address


def test_form_that_signs_out_gets_a_page_that_goes_on_by_itself(visitor: Client) -> None:
    """Chromium applies ``form-action`` to the redirects that follow a form, and would stop here."""
    token = token_of(visitor)

    response = visitor.post("/sso/logout/", headers=FROM_THIS_SITE)

    assert onward(response).startswith(f"{conf.dsn().portal_url}/sso/v1/signed-out?")
    assert not has_identity(token)


def test_form_that_is_redirected_to_the_login_view_gets_such_a_page(client: Client) -> None:
    response = client.get(LOGIN, {"next": "/private/?a=1&b=<2>"}, headers=FROM_THIS_SITE)

    back = next_of(onward(response))
    assert parse_qs(urlsplit(back).query)["next"] == ["/private/?a=1&b=<2>"]


@pytest.mark.parametrize("site", ["none", "same-site", "cross-site"])
def test_visitor_from_elsewhere_is_redirected(client: Client, site: str) -> None:
    response = client.get(LOGIN, headers=FROM_THIS_SITE | {"sec-fetch-site": site})

    assert response.status_code == 302


def test_script_of_this_site_gets_json(visitor: Client) -> None:
    script = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}

    assert Client().get(LOGIN, headers=script).status_code == 401
    assert visitor.post("/sso/logout/", headers=script).json()["signed_out"] is True


def test_signed_in_user_is_redirected_within_the_site(visitor: Client) -> None:
    assert visitor.get(LOGIN, {"next": "/user/"}, headers=FROM_THIS_SITE)["Location"] == "/user/"


# --- health ----------------------------------------------------------------------------------


def test_health_page_of_a_healthy_site_is_200(client: Client) -> None:
    response = client.get("/sso/health/")

    assert response.status_code == 200
    report = response.json()
    assert (report["status"], report["site"], report["redis"]) == ("ok", "site_a", "ok")
    assert report["keys"] == [testing.PUBLIC_KEY[0]]
    assert sets_no_cookie(response)
    assert "no-store" in response["Cache-Control"]


def test_health_page_does_not_read_the_session(visitor: Client, valkey: ValkeyServer) -> None:
    with counted_commands(valkey.admin) as calls:
        visitor.get("/sso/health/")

    assert calls == {}
    assert names_in_redis() == {record_name(token_of(visitor)).encode()}


def test_health_page_shows_a_lagging_feed_and_stays_200(client: Client) -> None:
    assert client.get("/sso/health/").json()["feed"] is None
    FeedCursor.objects.create(position=10, head=1000)

    response = client.get("/sso/health/")

    assert response.status_code == 200
    assert response.json()["feed"]["lag"] == 990


def test_health_page_shows_no_secret(client: Client, valkey) -> None:
    valkey.kill()

    response = client.get("/sso/health/")

    assert response.status_code == 503
    assert "of-the-tests" not in response.text
    assert "127.0.0.1" not in response.text
