"""Requests without access get an explanation: no redirect loop, and no redirect to a foreign address."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Route

from tests.stories.people import EVERYWHERE, Person, Visitor

JSON = {"Accept": "application/json"}


def test_api_requests_without_a_session_get_401_and_no_redirect(visitor: Visitor) -> None:
    places = [
        ("site_b", "/api/me/", {}),
        ("site_b", "/api/orders/", {}),
        ("site_b", "/orders/", JSON),
        ("site_a", "/notes/", JSON),
    ]

    answers = [visitor.topology.get(part, path, headers=headers) for part, path, headers in places]

    for answer in answers:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("SSO ")
        assert "Location" not in answer.headers


def test_a_script_in_a_page_gets_401_instead_of_the_sign_in_form(visitor: Visitor) -> None:
    visitor.open("site_b")

    status = visitor.page.evaluate("fetch('/orders/').then(answer => answer.status)")

    assert status == 401


def test_a_browser_that_blocks_the_cookie_gets_an_explanation_and_no_loop(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    def forget_the_cookie(route: Route) -> None:
        headers = {name: value for name, value in route.request.headers.items() if name != "cookie"}
        route.continue_(headers=headers)

    visitor.page.context.route(f"{visitor.topology.urls['site_a']}/**", forget_the_cookie)
    visitor.open("site_a", "/notes/")
    visitor.page.context.clear_cookies()
    visitor.open("site_a", "/notes/")
    visitor.fill_in(new_person())
    visitor.page.context.clear_cookies(name=visitor.sso_cookie_name)
    visitor.forget()

    response = visitor.open("site_a", "/sso/login/?next=/notes/&returned=1")

    assert response.status == 403
    assert visitor.path == "site_a/sso/login/"
    assert "cookie" in visitor.text
    assert visitor.redirects() == []


# --- open redirects, as browsers parse addresses (tests/portal has the full list) -----------------------

TRICKS = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "/\t/evil.example/",
    "\thttps://evil.example/",
    "https:evil.example",
    "{site_a}@evil.example/",
    "{site_a}.evil.example/",
    "{site_a}\\@evil.example/",
    "http://evil.example#{site_a}/",
    "{site_a_host}://evil.example/",
    "http://a.sso.localhost:9/",
    "http://evil.sso.localhost/",
    "http://a。evil.example/",
    "javascript:document.location='https://evil.example/'",
    "data:text/html,<script>location='https://evil.example/'</script>",
]


@pytest.fixture
def careful(visitor: Visitor) -> Visitor:
    """A visitor whose browser blocks every request to a foreign address and notes it in ``strays``."""
    visitor.strays = []  # type: ignore[attr-defined]
    own = tuple(f"{url}/" for url in visitor.topology.urls.values())

    def stop(route: Route) -> None:
        if route.request.url.startswith((*own, "data:,")):
            route.continue_()
        else:
            visitor.strays.append(route.request.url)  # type: ignore[attr-defined]
            route.abort()

    visitor.page.context.route("**/*", stop)
    return visitor


def filled(trick: str, visitor: Visitor) -> str:
    site_a = visitor.topology.urls["site_a"]
    return quote(trick.format(site_a=site_a, site_a_host=urlsplit(site_a).hostname), safe="")


def test_attack_open_redirects_at_the_portal_lead_to_its_home_page(
    careful: Visitor, new_person: Callable[..., Person]
) -> None:
    careful.sign_in(new_person())

    for trick in TRICKS:
        for path in ("/sso/v1/enter", "/accounts/login/", "/sso/login/"):
            careful.page.context.clear_cookies(name="__Host-sso-sent-to")  # each one counts as the first
            response = careful.open("portal", f"{path}?next={filled(trick, careful)}")
            assert careful.path.startswith("portal/"), trick
            assert response.status == 200, trick

    assert careful.strays == []  # type: ignore[attr-defined]
    assert careful.signed_in_at() == set(EVERYWHERE)


def test_attack_open_redirects_in_the_sign_in_form_lead_to_the_portal(
    careful: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")

    for trick in TRICKS[:4]:
        careful.open("portal", f"/sso/v1/enter?next={filled(trick, careful)}")
        careful.fill_in(mia)
        assert careful.path == "portal/", trick
        careful.page.context.clear_cookies()
        careful.open("portal", f"/accounts/login/?next={filled(trick, careful)}")
        careful.fill_in(mia)
        assert careful.path == "portal/", trick
        careful.page.context.clear_cookies()

    assert careful.strays == []  # type: ignore[attr-defined]


def test_attack_the_signed_out_page_links_to_no_foreign_address(careful: Visitor) -> None:
    own = tuple(careful.topology.urls.values())

    for trick in TRICKS:
        careful.open("portal", f"/sso/v1/signed-out?next={filled(trick, careful)}")
        links = careful.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        assert links
        assert all(link.startswith(own) for link in links), (trick, links)
        assert "evil" not in careful.page.content().replace(careful.page.url, ""), trick

    assert careful.strays == []  # type: ignore[attr-defined]


def test_attack_open_redirects_at_a_site_lead_to_its_home_page(
    careful: Visitor, new_person: Callable[..., Person]
) -> None:
    careful.sign_in(new_person())

    for trick in TRICKS:
        careful.page.context.clear_cookies(name="__Host-sso-sent-to")  # each one counts as the first
        careful.open("site_a", f"/sso/login/?next={filled(trick, careful)}")
        assert careful.path == "site_a/", trick

    assert careful.strays == []  # type: ignore[attr-defined]
