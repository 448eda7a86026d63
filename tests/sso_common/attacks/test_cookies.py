"""Cookie tossing: a sibling host sets an SSO cookie of its own in the victim's browser."""

from __future__ import annotations

import logging

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from sso_common import conf
from sso_common.middleware import SessionMiddleware
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.sso_common.tools import sign_in

from .browsers import COOKIE, browser_with_header


@pytest.mark.parametrize("order", [1, -1], ids=["the victim's first", "the attacker's first"])
def test_attack_tossed_cookie_signs_no_user_in(victim: SessionToken, order: int, caplog) -> None:
    caplog.set_level(logging.WARNING, logger="django.security.sso")
    name, attacker = conf.dsn().cookie_name, sign_in("mallory")
    values = [victim.value, attacker.value][::order]

    client = browser_with_header("; ".join(f"{name}={value}" for value in values))

    assert client.get("/user/").content == b"nobody"
    assert "two different SSO cookies" in caplog.text
    assert list(client.get("/put/?a=1").cookies) == [COOKIE]  # a new anonymous session
    assert dict(SessionStore(token=victim).items()) == {"private": "of anna"}
    assert dict(SessionStore(token=attacker).items()) == {}


@pytest.mark.parametrize(
    "template",
    [
        "{n}={a}; x=y; {n}={b}",
        "{n}={a};{n}={b}",
        "{n}={a} ; {n} ={b}",
        "{n}={b}; {n}={a}; {n}={b}",
        "{n}={a}; {n}=",
        "{n}={a}; {n}=x",
        '{n}={a}; {n}="{b}"',
    ],
)
def test_attack_tossed_cookie_is_found_in_any_spelling(victim: SessionToken, template: str) -> None:
    header = template.format(n=conf.dsn().cookie_name, a=victim.value, b=sign_in("mallory").value)

    assert browser_with_header(header).get("/user/").content == b"nobody"


def test_same_sso_cookie_twice_is_no_attack(victim: SessionToken) -> None:
    cookie = f"{conf.dsn().cookie_name}={victim.value}"

    assert browser_with_header(f"{cookie}; {cookie}").get("/user/").content == b"anna"


@pytest.mark.parametrize(
    "name",
    ["__secure-sso-test", "__Secure-sso", "X__Secure-sso-test", "__Secure-sso-testx", "__Secure-sso-test x"],
)
def test_attack_cookie_with_a_similar_name_is_ignored(victim: SessionToken, name: str) -> None:
    similar = f"{name}={sign_in('mallory').value}"
    genuine = f"{conf.dsn().cookie_name}={victim.value}"

    assert browser_with_header(similar).get("/user/").content == b"nobody"
    assert browser_with_header(f"{similar}; {genuine}").get("/user/").content == b"anna"


#: What Chromium sends for a name that a script of a sibling page has written. It refuses the prefix itself.
DISGUISES = ["\u2000{}", "{}\u2003", "\u00a0{}", "\u0085{}", "\u3000\u2000{}", "\x0b{}", "{}\x0c", "\x1f{}"]


def as_sent(text: str) -> str:
    """A header as WSGI has it: the bytes, as Latin-1."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("disguise", "encode"),
    [
        *((disguise, as_sent) for disguise in DISGUISES),
        *((disguise, str) for disguise in DISGUISES if max(disguise) < "\u0100"),
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["the victim's first", "the attacker's first"])
def test_attack_tossed_cookie_in_disguise_signs_in_nobody_else(
    victim: SessionToken, disguise: str, encode, order: int, caplog
) -> None:
    caplog.set_level(logging.WARNING, logger="django.security.sso")
    name, attacker = conf.dsn().cookie_name, sign_in("mallory")
    tossed = encode(f"{disguise.format(name)}={attacker.value}")

    alone = browser_with_header(tossed)
    both = browser_with_header("; ".join([f"{name}={victim.value}", tossed][::order]))

    assert alone.get("/user/").content == b"nobody"
    assert both.get("/user/").content == b"anna"
    assert "a name that is not exactly" in caplog.text


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("name", ["__Host-session", "csrftoken"])
def test_attack_no_cookie_in_disguise_reaches_the_site(name: str, disguise: str) -> None:
    header = as_sent(f"{name}=own; {disguise.format(name)}=tossed; naïve=1")
    request = RequestFactory(headers={"cookie": header}).get("/")

    SessionMiddleware(lambda request: HttpResponse())(request)

    assert {name: "own", "naïve": "1"} == request.COOKIES
