"""Who may not enter is told so, with a way back: no redirect in circles, and none to a stranger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Route

from tests.stories.people import EVERYWHERE, Person, Visitor
from tests.stories.shell import Shell

JSON = {"Accept": "application/json"}


@pytest.fixture
def members_only(shell: Callable[[str], Shell]) -> Iterator[None]:
    """Site B is open only to those who hold a role there, for as long as the story takes."""
    change = 'Site.objects.filter(name="site_b").update(access=access)'
    shell("portal")(change, access="members")
    yield
    shell("portal")(change, access="everyone")


@pytest.mark.usefixtures("members_only")
def test_who_is_no_member_gets_a_page_with_a_way_back(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    visitor.forget()

    response = visitor.open("site_b", "/orders/")

    assert response.status == 403
    assert visitor.path.startswith("site_b/")
    assert not [answer.url for answer in visitor.answers if "portal." in urlsplit(answer.url).netloc]
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("main").get_by_role("link").first.click()
    assert visitor.page.url.startswith(tuple(visitor.topology.urls.values()))
    assert visitor.where() == {"portal", "site_a"}


@pytest.mark.usefixtures("members_only")
def test_programs_of_no_member_get_403(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.sign_in(new_person())
    cookies = visitor.cookies_for("site_b")

    answers = [
        visitor.topology.get("site_b", path, cookies=cookies, headers=JSON)
        for path in ("/api/me/", "/orders/")
    ]

    for answer in answers:
        assert answer.status == 403
        assert json.loads(answer.body)["error"] == "not_admitted"


@pytest.mark.usefixtures("members_only")
def test_a_role_opens_the_door_at_the_next_click_and_its_loss_closes_it(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    change = (
        'from portal.registry import services; services.{}(User.objects.get(pk=sub), "site_b", "manager")'
    )

    before = visitor.open("site_b", "/orders/").status
    shell("portal")(change.format("grant"), sub=mia.sub)
    during = visitor.open("site_b", "/orders/").status
    shell("portal")(change.format("withdraw"), sub=mia.sub)
    after = visitor.open("site_b", "/orders/").status

    assert (before, during, after) == (403, 200, 403)


@pytest.mark.usefixtures("members_only")
def test_a_members_site_learns_of_its_members_alone(
    new_person: Callable[..., Person], shell: Callable[[str], Shell], visitor: Visitor
) -> None:
    stranger = new_person("Stranger")
    member = new_person("Member", roles={"site_b": "manager"})
    known = "Account.objects.filter(sub=sub, is_active=True).exists()"

    visitor.topology.eventually(lambda: shell("site_b")(known, sub=member.sub))

    assert not shell("site_b")("User.objects.filter(username=name).exists()", name=stranger.username)


def test_programs_that_are_not_signed_in_get_401_and_never_a_redirect(visitor: Visitor) -> None:
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


def test_a_script_in_a_page_is_not_sent_to_the_sign_in_form(visitor: Visitor) -> None:
    visitor.open("site_b")

    status = visitor.page.evaluate("fetch('/orders/').then(answer => answer.status)")

    assert status == 401


def test_a_browser_that_blocks_the_cookie_is_told_so_and_does_not_loop(
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


# --- open redirects, as a browser understands addresses (all that are known are in tests/portal) ------------

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
    """A visitor who would notice: whatever leaves the three parts is stopped, and kept in ``strays``."""
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


def test_attack_open_redirects_through_the_portal_lead_home(
    careful: Visitor, new_person: Callable[..., Person]
) -> None:
    careful.sign_in(new_person())

    for trick in TRICKS:
        for path in ("/sso/v1/enter", "/accounts/login/", "/sso/login/"):
            response = careful.open("portal", f"{path}?next={filled(trick, careful)}")
            assert careful.path.startswith("portal/"), trick
            assert response.status == 200, trick

    assert careful.strays == []  # type: ignore[attr-defined]
    assert careful.where() == set(EVERYWHERE)


def test_attack_the_sign_in_form_leads_nowhere_else(
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


def test_attack_the_signed_out_page_has_no_link_to_a_stranger(careful: Visitor) -> None:
    own = tuple(careful.topology.urls.values())

    for trick in TRICKS:
        careful.open("portal", f"/sso/v1/signed-out?next={filled(trick, careful)}")
        links = careful.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        assert links
        assert all(link.startswith(own) for link in links), (trick, links)
        assert "evil" not in careful.page.content().replace(careful.page.url, ""), trick

    assert careful.strays == []  # type: ignore[attr-defined]


def test_attack_open_redirects_through_a_site_lead_to_its_own_home(
    careful: Visitor, new_person: Callable[..., Person]
) -> None:
    careful.sign_in(new_person())

    for trick in TRICKS:
        careful.open("site_a", f"/sso/login/?next={filled(trick, careful)}")
        assert careful.path == "site_a/", trick

    assert careful.strays == []  # type: ignore[attr-defined]
