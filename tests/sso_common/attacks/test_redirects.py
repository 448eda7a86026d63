"""Open redirects: an attacker's ``next`` address must never lead to another site."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sso_common import conf
from sso_common.tokens import SessionToken

from .browsers import browser_with_token

LOGIN = "/sso/login/"

#: What each target looks like -> the value of ``next``.
TARGETS = {
    "another site": "https://evil.example/",
    "another site over http": "http://evil.example/",
    "without a scheme": "//evil.example/",
    "without a scheme, and a path": "//evil.example/%2e%2e",
    "three slashes": "///evil.example/",
    "four slashes": "////evil.example/",
    "backslashes": "\\\\evil.example/",
    "slash and backslash": "/\\evil.example/",
    "backslash and slash": "\\/evil.example/",
    "scheme and backslashes": "https:\\\\evil.example/",
    "scheme and one slash": "https:/evil.example/",
    "scheme and no slash": "https:evil.example/",
    "scheme and three slashes": "https:///evil.example/",
    "userinfo": "https://testserver@evil.example/",
    "userinfo with a password": "http://testserver:80@evil.example/",
    "userinfo and a backslash": "http://testserver\\@evil.example/",
    "own host as userinfo, scheme-relative": "//testserver@evil.example/",
    "userinfo before the own host": "http://evil.example@testserver:8443/",
    "a tab inside": "/\t/evil.example/",
    "a tab in the scheme": "ht\ttps://evil.example/",
    "a line feed inside": "/\n/evil.example/",
    "a carriage return and a header": "/\r\nLocation: https://evil.example/",
    "a space before it": " https://evil.example/",
    "a space before two slashes": " //evil.example/",
    "a control character before it": "\x01//evil.example/",
    "a NUL before it": "\x00//evil.example/",
    "a byte order mark before it": "\ufeff//evil.example/",
    "a no-break space before it": "\u00a0//evil.example/",
    "an ideographic full stop": "//evil\u3002example/",
    "a full-width solidus": "/\uff0fevil.example/",
    "a full-width own host": "http://\uff54estserver/",
    "a division slash": "http://testserver\u2215.evil.example/",
    "another port": "http://testserver:8443/",
    "another port, scheme-relative": "//testserver:8443/",
    "a suffix that looks similar": "http://testserver.evil.example/",
    "a prefix that looks similar": "http://eviltestserver/",
    "a sibling": "http://b.testserver/",
    "a parent with a dot after it": "http://testserver./",
    "javascript": "javascript:alert(1)",
    "javascript in capitals": "JaVaScRiPt:alert(1)",
    "javascript with a tab": "java\tscript:alert(1)",
    "javascript with slashes": "javascript://testserver/%0aalert(1)",
    "data": "data:text/html,<script>alert(1)</script>",
    "a file": "file:///etc/passwd",
    "another protocol": "ftp://testserver/",
    "an invalid IPv6 address": "http://[::1",
    "percent-encoded slashes": "https:%2f%2fevil.example/",
    "empty host": "http:///",
    "a fragment that hides": "//evil.example#@testserver/",
    "a query that hides": "//evil.example?@testserver/",
}


def lands_on(location: str) -> tuple[str, str]:
    """Scheme and host to which a browser goes: Python's rules, and what browsers forgive."""
    cleaned = location.strip(" \x00\x01\x02\x0b\x0c\x1f").translate({9: None, 10: None, 13: None})
    head, mark, tail = cleaned.partition("?")
    target = urlsplit(urljoin(f"http://testserver{LOGIN}", head.replace("\\", "/") + mark + tail))
    return target.scheme, target.netloc


def next_of(address: str) -> str:
    (value,) = parse_qs(urlsplit(address).query, keep_blank_values=True)["next"]
    return value


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_attack_open_redirect_of_a_signed_in_user(victim: SessionToken, target: str) -> None:
    response = browser_with_token(victim.value).get(LOGIN, {"next": target})

    assert response.status_code == 302
    location = response["Location"]
    assert lands_on(location) == ("http", "testserver")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_attack_open_redirect_through_the_portal(client: Client, target: str) -> None:
    """The portal sends the visitor back to this site, and this site to a page of its own."""
    location = client.get(LOGIN, {"next": target})["Location"]

    enter = f"{conf.dsn().portal_url}/sso/v1/enter"
    assert location.startswith(f"{enter}?next=http%3A%2F%2Ftestserver%2Fsso%2Flogin%2F")
    back = next_of(location)
    assert (urlsplit(back).scheme, urlsplit(back).netloc) == ("http", "testserver")
    assert lands_on(next_of(back)) == ("http", "testserver")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_attack_open_redirect_through_the_retry_link(client: Client, target: str) -> None:
    response = client.get(LOGIN, {"next": target, "returned": "1"})

    assert response.status_code == 403
    retry, portal = (html.unescape(address) for address in re.findall('href="([^"]*)"', response.text))
    assert portal == f"{conf.dsn().portal_url}/"
    assert retry.startswith("/sso/login/?next=")
    assert lands_on(next_of(retry)) == ("http", "testserver")


@given(target=st.text(alphabet="/\\:@.?#%\t\n\r \x00\u3002\uff0fehtpsvil0testserver", max_size=30))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_attack_open_redirect_to_any_target(client: Client, target: str) -> None:
    location = client.get(LOGIN, {"next": target})["Location"]

    assert lands_on(next_of(next_of(location))) == ("http", "testserver")


@pytest.mark.parametrize(
    ("query", "is_secure"),
    [("next=http://testserver/private/", True), ("next=/private/&next=https://evil.example/", False)],
    ids=["https to http", "second next"],
)
def test_attack_open_redirect_goes_to_the_home_page(
    victim: SessionToken, query: str, is_secure: bool
) -> None:
    response = browser_with_token(victim.value).get(f"{LOGIN}?{query}", secure=is_secure)

    assert response["Location"] == "/"


@pytest.mark.parametrize(
    "host", ["evil.example", "testserver@evil.example", "testserver:80@evil.example", "a b"]
)
def test_attack_open_redirect_by_the_host_header_is_refused(client: Client, host: str) -> None:
    assert client.get(LOGIN, headers={"host": host}).status_code == 400


def test_attack_open_redirect_after_sign_out(victim: SessionToken) -> None:
    response = browser_with_token(victim.value).post(
        "/sso/logout/?next=https://evil.example/", {"next": "//evil.example"}
    )

    assert "evil.example" not in response["Location"]


# --- markup ----------------------------------------------------------------------------------


def test_attack_markup_in_the_target_is_escaped(client: Client) -> None:
    response = client.get(LOGIN, {"next": '/"><script>alert(1)</script>', "returned": "1"})

    assert response.status_code == 403
    assert "<script>alert" not in response.text


@pytest.mark.parametrize("host", ['testserver", evil="', "testserver\r\nSet-Cookie: a=b"])
def test_attack_header_injection_by_the_host_header_is_refused(client: Client, settings, host: str) -> None:
    """The host is part of the WWW-Authenticate header."""
    settings.ALLOWED_HOSTS = ["*"]

    response = client.get("/private/", headers={"host": host, "accept": "application/json"})

    assert response.status_code == 400
