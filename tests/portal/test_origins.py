"""Redirects lead to exact origins of registered sites or to the portal, and nowhere else."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.registry.destinations import safe_next
from portal.registry.models import Site
from portal.registry.origins import check_origin, origin_of, parse_origin

from .people import browser, person, sign_in

GOOD = [
    "http://a.sso.localhost",
    "http://a.sso.localhost/",
    "http://a.sso.localhost/notes/?next=http://evil.example/#x",
    "http://a.sso.localhost:80/notes/",
    "HTTP://A.SSO.localhost/notes/",
    "http://a.sso.localhost/..//evil.example",
    "http://a.sso.localhost?x",
    "http://b.sso.localhost:8002/cart/",
    "http://portal.sso.localhost/account/",
    "/account/",
    "/?next=//evil.example",
]

TRICKS = [
    "",
    " ",
    "account/",
    "http:/account/",
    "http:account/",
    "http:///evil.example",
    "http:evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "/\\/evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "http://evil.example",
    "https://a.sso.localhost/",  # another scheme
    "http://a.sso.localhost:8001/",  # another port
    "http://b.sso.localhost/",
    "http://b.sso.localhost:80/",
    "http://b.sso.localhost:08002/x\\",
    "http://b.sso.localhost:/",
    "http://a.sso.localhost:/",
    "http://a.sso.localhost:0/",
    "http://a.sso.localhost:80@evil.example/",
    "http://a.sso.localhost@evil.example/",
    "http://a.sso.localhost:pass@evil.example/",
    "http://user@a.sso.localhost/",
    "http://:@a.sso.localhost/",
    "http://@a.sso.localhost/",
    "http://evil.example@a.sso.localhost/",
    "http://evil.example\\@a.sso.localhost/",
    "http://a.sso.localhost\\@evil.example/",
    "http://a.sso.localhost\\.evil.example/",
    "http:\\\\a.sso.localhost/",
    "http:/\\a.sso.localhost/",
    "http://a.sso.localhost.evil.example/",
    "http://a.sso.localhost.evil.example#http://a.sso.localhost/",
    "http://evil.example#a.sso.localhost",
    "http://evil.example?a.sso.localhost",
    "http://evil.example/a.sso.localhost",
    "http://evila.sso.localhost/",
    "http://a-sso.localhost/",
    "http://a.sso.localhost-evil.example/",
    "http://sso.localhost/",
    "http://x.a.sso.localhost/",
    "http://a.sso.localhost./",
    "http://.a.sso.localhost/",
    "http://a..sso.localhost/",
    "http://a.sso.localhost%2eevil.example/",
    "http://a.sso.localhost%2fevil.example/",
    "http://a%2esso.localhost/",
    "http://evil.example%23a.sso.localhost/",
    "http://a\u3002sso\u3002localhost/",  # ideographic full stop
    "http://a\uff0esso.localhost/",  # full-width full stop
    "http://a\uff61sso.localhost/",  # half-width ideographic full stop
    "http://\uff41.sso.localhost/",  # full-width a
    "http://\u0430.sso.localhost/",  # Cyrillic a
    "http://a.sso.localhost\uff0fevil.example/",  # full-width solidus
    "http://evil.example\uff03.a.sso.localhost/",
    "http://evil.example\u2100a.sso.localhost/",  # a/c in one character
    "http://a.sso.localhost\u200b/",  # zero width space
    "http://a.sso.localhost\u00ad/",  # soft hyphen
    "http://xn--a-.sso.localhost/",
    "h\nttp://a.sso.localhost/",
    "http://a.sso.loca\tlhost/",
    "http://a.sso.localhost\n/",
    "http://a.sso.localhost/\r\nSet-Cookie: x=y",
    "http://a.sso.localhost/\x00",
    "http://a.sso.localhost/ x",
    " http://a.sso.localhost/",
    "http://a.sso.localhost/\ufeff",
    "\ufeffhttp://a.sso.localhost/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[a.sso.localhost]/",
    "http://[::1]a.sso.localhost/",
    "http://[",
    "http://127.0.0.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://a.sso.localhost/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "ftp://a.sso.localhost/",
    "ws://a.sso.localhost/",
    "file:///etc/passwd",
    "blob:http://a.sso.localhost/x",
    "view-source:http://a.sso.localhost/",
    "//a.sso.localhost/",
    "http://c.sso.localhost/",  # registered, but inactive
    "http://a.sso.localhost/" + "x" * 5000,
    '"><script>alert(1)</script>',
    "http://a.sso.localhost/<script>",
]


@pytest.fixture(autouse=True)
def sites() -> None:
    Site.objects.create(name="site_a", origin="http://a.sso.localhost", title="Notes")
    Site.objects.create(name="site_b", origin="http://b.sso.localhost:8002", title="Shop")
    Site.objects.create(name="site_c", origin="http://c.sso.localhost", title="Closed", is_active=False)


@pytest.mark.parametrize("url", GOOD)
def test_safe_next_returns_urls_of_registered_origins_unchanged(url: str) -> None:
    assert safe_next(url) == url


@pytest.mark.parametrize("url", TRICKS)
def test_attack_open_redirect(url: str) -> None:
    assert safe_next(url) is None


@pytest.mark.parametrize("url", TRICKS)
def test_attack_open_redirect_through_enter_ends_at_home(url: str, caplog: pytest.LogCaptureFixture) -> None:
    response = browser().get("/sso/v1/enter", {"next": url})

    location = urlsplit(response["Location"])
    assert (response.status_code, location.netloc, location.path) == (302, "", "/accounts/login/")
    assert parse_qs(location.query)["next"] == ["/"]
    assert url == "" or "Refused to redirect" in caplog.text


def test_attack_open_redirect_once_signed_in_ends_at_home() -> None:
    person()
    client = browser()
    sign_in(client)

    targets = {client.get("/sso/v1/enter", {"next": url})["Location"] for url in TRICKS}

    assert targets == {"/"}


def test_attack_open_redirect_by_the_sign_in_form_ends_at_home() -> None:
    person()

    for url in ["//evil.example", "http://evil.example/", "http://a.sso.localhost:8001/", "/\\evil.example"]:
        assert sign_in(browser(), next=url)["Location"] == "/"
    assert sign_in(browser(), next="http://a.sso.localhost/x")["Location"] == "http://a.sso.localhost/x"


@pytest.mark.parametrize("url", TRICKS)
def test_attack_signed_out_page_links_to_no_other_host(url: str) -> None:
    response = browser().get("/sso/v1/signed-out", {"next": url})

    assert response.status_code == 200
    assert response.context["back_to"] is None


def test_signed_out_page_links_back_to_a_registered_site() -> None:
    response = browser().get("/sso/v1/signed-out", {"next": "http://a.sso.localhost/notes/"})

    assert 'href="http://a.sso.localhost/notes/"' in response.text
    assert "Back to Notes" in response.text


@settings(max_examples=300)
@given(
    st.text(alphabet=st.sampled_from("htp:/\\@.#?%[]a.sso.localhost evil\t\n\u3002\uff0f0189-"), max_size=60)
)
def test_safe_next_returns_only_registered_origins_and_paths(tail: str) -> None:
    for url in (tail, f"http:{tail}", f"http://{tail}", f"http://a.sso.localhost{tail}"):
        followed = safe_next(url)
        if followed is None:
            continue
        origin = origin_of(followed)
        known = {"http://a.sso.localhost", "http://b.sso.localhost:8002", "http://portal.sso.localhost"}
        assert origin in known or (followed[0] == "/" and followed[1:2] not in {"/", "\\"})


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://A.Example.COM/", "https://a.example.com"),
        ("https://a.example.com:443", "https://a.example.com"),
        ("http://a.localhost:80/", "http://a.localhost"),
        (" https://a.example.com:8443 ", "https://a.example.com:8443"),
    ],
)
def test_parse_origin_normalises(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "a.example.com",
        "ftp://a.example.com",
        "https://a.example.com/path",
        "https://u@a.example.com",
        "https://",
    ],
)
def test_parse_origin_refuses_other_text_in_one_sentence(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_origin(text)

    assert len(caught.value.messages) == 1


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("https://a.elsewhere.com", "domain"),
        ("https://notexample.com", "domain"),
        ("https://example.com.evil.org", "domain"),
        ("http://a.example.com", "scheme"),
    ],
)
def test_check_origin_refuses_origins_without_the_cookie(origin: str, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_origin(origin, "example.com")

    assert caught.value.code == code
