"""The hop to the portal, sign-out, and the health page."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sso_common import conf, store, testing
from sso_common.models import Account, FeedCursor
from sso_common.tokens import mint_token
from sso_common.views import EXPLANATIONS
from tests.sso_common.tools import end, has_identity, names_in_redis, record_name, token_of, without_cookies

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

JSON = {"accept": "application/json"}
HOP = "/sso/login/"


@pytest.fixture
def visitor(client: Client) -> Client:
    testing.sign_in(client, "anna")
    return client


def _next(address: str) -> str:
    (value,) = parse_qs(urlsplit(address).query)["next"]
    return value


# --- the hop -----------------------------------------------------------------------------------------


def test_the_hop_goes_to_the_portal_and_comes_back_to_itself(client: Client) -> None:
    response = client.get(HOP, {"next": "/private/?page=2"})

    assert response.status_code == 302
    portal = urlsplit(response["Location"])
    assert f"{portal.scheme}://{portal.netloc}{portal.path}" == f"{conf.portal_url()}/sso/v1/enter"
    back = urlsplit(_next(response["Location"]))
    assert (back.scheme, back.netloc, back.path) == ("http", "testserver", "/sso/login/")
    assert parse_qs(back.query) == {"next": ["/private/?page=2"], "returned": ["1"]}
    assert without_cookies(response)
    assert "no-store" in response["Cache-Control"]


def test_over_https_the_way_back_is_https(client: Client) -> None:
    response = client.get(HOP, secure=True)

    assert _next(response["Location"]).startswith("https://testserver/sso/login/")


def test_the_way_back_is_on_the_host_that_was_asked(client: Client, settings) -> None:
    settings.ALLOWED_HOSTS = ["a.testserver"]

    response = client.get(HOP, headers={"host": "a.testserver:8001"})

    assert _next(response["Location"]).startswith("http://a.testserver:8001/sso/login/")


def test_back_from_the_portal_signed_in_the_hop_goes_where_the_visitor_wanted(visitor: Client) -> None:
    response = visitor.get(HOP, {"next": "/private/?page=2", "returned": "1"})

    assert (response.status_code, response["Location"]) == (302, "/private/?page=2")


def test_whoever_is_signed_in_already_does_not_leave_the_site(visitor: Client) -> None:
    assert visitor.get(HOP, {"next": "/private/"})["Location"] == "/private/"


def test_without_a_destination_the_hop_goes_home(visitor: Client) -> None:
    assert visitor.get(HOP)["Location"] == "/"


def test_a_site_may_have_another_home(visitor: Client, settings) -> None:
    settings.LOGIN_REDIRECT_URL = "sso:health"

    assert visitor.get(HOP)["Location"] == "/sso/health/"


def test_the_whole_way_of_a_visitor_who_is_signed_in_elsewhere(client: Client) -> None:
    page = client.get("/private/")
    to_portal = client.get(page["Location"])
    testing.sign_in(client, "anna")  # what the portal does
    back = urlsplit(_next(to_portal["Location"]))

    response = client.get(f"{back.path}?{back.query}", follow=True)

    assert response.redirect_chain == [("/private/", 302)]
    assert response.content == b"private"


# --- nobody loops ------------------------------------------------------------------------------------


def _returned(client: Client):
    return client.get(HOP, {"next": "/private/", "returned": "1"})


def _two_cookies(client: Client):
    name, value = conf.cookie_name(), token_of(client).value
    client.cookies.clear()
    cookies = f"{name}={value}; {name}={mint_token().value}"
    return client.get(HOP, {"returned": "1"}, headers={"cookie": cookies})


def _no_cookie(client: Client):
    client.cookies.clear()
    return _returned(client)


def _with(spoil) -> object:
    def returned(client: Client):
        spoil(client)
        return _returned(client)

    return returned


def _set_cookie(value: str):
    return lambda client: client.cookies.__setitem__(conf.cookie_name(), value)


def _sign_with_a_stranger(client: Client) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    token = token_of(client)
    record = testing.sign_record(testing.make_identity(token), Ed25519PrivateKey.generate())
    testing.store_record(token.sid, record)


def _break_the_signature(client: Client) -> None:
    token = token_of(client)
    record = testing.sign_record(testing.make_identity(token))
    testing.store_record(token.sid, record[:-9] + b"AAAAAAAAA")


def _change_account(**values):
    def change(client: Client) -> None:
        client.get("/user/")
        Account.objects.update(**values)

    return change


RETURNS = {
    "no-cookie": _no_cookie,
    "malformed-cookie": _with(_set_cookie("damaged")),
    "two-cookies": _two_cookies,
    "ended": _with(lambda client: end(token_of(client))),
    "expired": _with(lambda client: testing.sign_in(client, "anna", lifetime=0)),
    "revoked": _with(_change_account(not_before=2**40)),
    "inactive": _with(_change_account(is_active=False)),
    "unknown-key": _with(_sign_with_a_stranger),
    "bad-signature": _with(_break_the_signature),
}


@pytest.mark.parametrize(("reason", "come_back"), RETURNS.items(), ids=RETURNS)
def test_whoever_comes_back_not_signed_in_gets_a_page_with_the_reason_and_no_loop(
    visitor: Client, reason: str, come_back
) -> None:
    response = come_back(visitor)

    assert response.status_code == 403
    assert f"<code>{reason}</code>" in response.text
    assert str(EXPLANATIONS[reason]).split("'")[0][:40] in response.text
    assert without_cookies(response)


def test_every_reason_that_a_visitor_can_meet_is_explained() -> None:
    assert EXPLANATIONS.keys() == RETURNS.keys()


def test_from_the_page_with_the_reason_one_can_try_again(client: Client) -> None:
    response = _returned(client)

    assert 'href="/sso/login/?next=%2Fprivate%2F"' in response.text
    assert f'href="{conf.portal_url()}/"' in response.text


def test_whoever_is_not_admitted_gets_403_at_the_hop_before_and_after_the_portal(client: Client) -> None:
    testing.sign_in(client, "mallory", sites={"site_b": []})

    for address in (HOP, f"{HOP}?returned=1"):
        response = client.get(address)
        assert response.status_code == 403
        assert "You don't have access" in response.text
    assert not User.objects.exists()


@pytest.mark.parametrize("address", [HOP, f"{HOP}?next=/private/&returned=1"])
def test_a_script_at_the_hop_gets_401(client: Client, address: str) -> None:
    response = client.get(address, headers=JSON)

    assert response.status_code == 401
    assert response.json()["login"] == "http://testserver/sso/login/"


@pytest.mark.parametrize(
    "destination", ["/sso/login/", "/sso/login/?next=/sso/login/", "/sso/login/?returned=1"]
)
def test_the_hop_as_its_own_destination_ends(visitor: Client, destination: str) -> None:
    response = visitor.get(HOP, {"next": destination}, follow=True)

    assert response.status_code == 200
    assert len(response.redirect_chain) <= 4


def test_the_hop_only_answers_get(client: Client) -> None:
    assert client.post(HOP).status_code == 405
    assert client.head(HOP).status_code == 302


# --- signing out -------------------------------------------------------------------------------------


def test_signing_out_ends_the_session_everywhere_and_goes_to_the_portals_page(visitor: Client) -> None:
    token = token_of(visitor)

    response = visitor.post("/sso/logout/")

    assert response.status_code == 303
    assert response["Location"].startswith(f"{conf.portal_url()}/sso/v1/signed-out?")
    assert _next(response["Location"]) == "http://testserver/"
    assert not has_identity(token)
    assert without_cookies(response)


def test_a_script_that_signs_out_is_told_where_the_portal_is(visitor: Client) -> None:
    response = visitor.post("/sso/logout/", headers=JSON)

    assert response.status_code == 200
    assert response.json()["signed_out"] is True
    assert response.json()["portal"].startswith(f"{conf.portal_url()}/sso/v1/signed-out?")


def test_signing_out_needs_a_post(visitor: Client) -> None:
    for method in (visitor.get, visitor.head, visitor.put, visitor.delete):
        assert method("/sso/logout/").status_code == 405

    assert has_identity(token_of(visitor))


def test_signing_out_twice_is_no_error(visitor: Client) -> None:
    visitor.post("/sso/logout/")

    assert visitor.post("/sso/logout/").status_code == 303


def test_signing_out_ends_a_local_login_too(client: Client) -> None:
    client.force_login(User.objects.create_user("local"))

    response = client.post("/sso/logout/")

    assert client.get("/user/").content == b"nobody"
    assert response.cookies["__Host-session"].value == ""


def test_whoever_is_not_admitted_here_can_still_sign_out(client: Client) -> None:
    client.get("/put/?cart=mug")
    testing.sign_in(client, "mallory", sites={"site_b": []})

    client.post("/sso/logout/")

    assert not has_identity(token_of(client))


def test_whoever_this_site_has_deactivated_can_still_sign_out(visitor: Client) -> None:
    visitor.get("/user/")
    Account.objects.update(is_active=False)

    visitor.post("/sso/logout/")

    assert not has_identity(token_of(visitor))


# --- health ------------------------------------------------------------------------------------------


def test_a_healthy_site_says_so_to_anybody(client: Client) -> None:
    response = client.get("/sso/health/")

    assert response.status_code == 200
    report = response.json()
    assert (report["status"], report["site"], report["redis"]) == ("ok", "site_a", "ok")
    assert report["keys"] == [testing.PUBLIC_KEY[0]]
    assert without_cookies(response)
    assert "no-store" in response["Cache-Control"]


def test_the_health_page_asks_nothing_about_the_visitor(visitor: Client) -> None:
    before = store.client().pttl(record_name(token_of(visitor)))

    visitor.get("/sso/health/")

    assert names_in_redis() == {record_name(token_of(visitor)).encode()}
    assert store.client().pttl(record_name(token_of(visitor))) <= before


def test_a_feed_that_lags_is_shown_and_is_not_unhealthy(client: Client) -> None:
    assert client.get("/sso/health/").json()["feed"] is None
    FeedCursor.objects.create(position=10, head=1000)

    response = client.get("/sso/health/")

    assert response.status_code == 200
    assert response.json()["feed"]["lag"] == 990


def test_the_health_page_tells_no_secret(client: Client, valkey) -> None:
    valkey.kill()

    response = client.get("/sso/health/")

    assert response.status_code == 503
    assert "of-the-tests" not in response.text
    assert "127.0.0.1" not in response.text
