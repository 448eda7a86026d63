"""One sign-in opens both sites."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.stories.people import SIGN_IN_PATH, Person, Visitor
from tests.stories.shell import Shell

DAY = 86_400


def test_a_private_note_leads_to_the_portal_and_opens_after_the_sign_in(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    address = write_note(visitor, "A surprise for Ben")
    visitor.sign_out("site_a")

    visitor.open("site_a", address)
    asked_at = visitor.path
    visitor.fill_in(mia)

    assert asked_at == f"portal{SIGN_IN_PATH}"
    assert visitor.path == f"site_a{address}"
    assert "A surprise for Ben" in visitor.text
    assert mia.name in visitor.text


def test_the_second_site_opens_without_a_redirect(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")
    visitor.open("site_a", "/notes/")
    visitor.fill_in(mia)
    visitor.forget()

    visitor.open("site_b", "/orders/")

    assert visitor.path == "site_b/orders/"
    assert mia.name in visitor.text
    assert [(each.status, each.url) for each in visitor.answers] == [
        (200, visitor.topology.urls["site_b"] + "/orders/")
    ]


def test_users_can_sign_in_with_their_email_address(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")

    visitor.open("site_b", "/orders/")
    visitor.page.locator("input[name=login]").fill(mia.email.upper())
    visitor.page.locator("input[name=password]").fill(mia.password)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/orders/")

    assert mia.name in visitor.text


def test_a_wrong_password_stays_at_the_portal(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    mia = new_person("Mia")
    visitor.open("site_a", "/notes/")

    visitor.fill_in(mia, password="wrong horse battery staple")

    assert visitor.path == f"portal{SIGN_IN_PATH}"
    assert "not correct" in visitor.text
    assert visitor.sso_cookie is None
    # The mistake does not lose the way back.
    visitor.fill_in(mia)
    assert visitor.path == "site_a/notes/"


@pytest.mark.parametrize("remember", [True, False])
def test_the_sso_cookie_outlives_the_browser_only_with_remember_me(
    visitor: Visitor, new_person: Callable[..., Person], remember: bool
) -> None:
    visitor.open("site_a", "/notes/")

    visitor.fill_in(new_person(), remember=remember)

    cookie = visitor.sso_cookie
    assert cookie
    assert cookie["domain"] == f".{visitor.topology.options.domain}"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    if remember:
        assert 85 * DAY < cookie["expires"] - time.time() < 91 * DAY
    else:
        assert cookie["expires"] == -1


def test_only_the_portal_sets_the_sso_cookie(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.open("site_b", "/")
    visitor.open("site_a", "/notes/")
    visitor.fill_in(new_person())
    visitor.open("site_b", "/orders/")
    visitor.open("site_a", "/you/")

    setters = visitor.setters()

    assert setters["portal"].count(visitor.sso_cookie_name) == 1
    assert not [part for part in ("site_a", "site_b") if visitor.sso_cookie_name in setters.get(part, [])]


def write_note(visitor: Visitor, title: str) -> str:
    """Write a private note at site A; return its path."""
    visitor.open("site_a", "/notes/new/")
    visitor.page.get_by_label("Title").fill(title)
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Save note").click()
    return visitor.path.removeprefix("site_a")


def test_each_site_counts_the_sign_in_once_as_a_login(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    find = "str(Account.objects.get(sub=sub).user.last_login)"

    visitor.open("site_a", "/notes/")
    visitor.open("site_b", "/orders/")
    first = [shell(site)(find, sub=mia.sub) for site in ("site_a", "site_b")]
    visitor.open("site_a", "/notes/")
    visitor.open("site_b", "/orders/")

    assert "None" not in first
    assert [shell(site)(find, sub=mia.sub) for site in ("site_a", "site_b")] == first
