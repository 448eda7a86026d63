"""A site whose policy lets forms lead to its own pages only (``form-action 'self'``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.stories.people import Person, Visitor, sign_out_button
from tests.stories.topology import StoryTopology

POLICY = re.compile("form-action 'self'")
SIGNED_OUT = re.compile("/sso/v1/signed-out")
SIGN_IN = re.compile("/accounts/login/")


@pytest.fixture(autouse=True)
def _strict(started_topology: StoryTopology) -> Iterator[None]:
    started_topology.reconfigure("site_a", DJANGO_SETTINGS_MODULE="tests.stories.strict_site")
    yield
    started_topology.reconfigure("site_a", DJANGO_SETTINGS_MODULE="site_a.settings")


def open_strict(visitor: Visitor, path: str = "/") -> None:
    response = visitor.open("site_a", path)
    assert POLICY.search(response.headers["content-security-policy"])


def test_sign_out_leads_to_the_portals_page(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.sign_in(new_person())
    open_strict(visitor)
    sid = visitor.sid

    sign_out_button(visitor.page).click()
    visitor.page.wait_for_url(SIGNED_OUT)

    assert visitor.sso_cookie is None
    assert not list(visitor.topology.redis.scan_iter(f"*{sid}*:identity"))
    visitor.page.go_back()
    assert visitor.path == "site_a/", "The page in between is not in the browser's history."


def test_form_sent_after_the_session_ended_elsewhere_leads_to_the_portal_and_back(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person()
    visitor.sign_in(mia)
    open_strict(visitor, "/notes/new/")
    visitor.page.get_by_label("Title").fill("Too late")
    visitor.sign_out("site_b", page=visitor.page.context.new_page())

    visitor.page.get_by_role("button", name="Save note").click()
    visitor.page.wait_for_url(SIGN_IN)
    visitor.fill_in(mia)

    assert visitor.path == "site_a/notes/new/"


def test_link_to_a_private_page_leads_to_the_portal_and_back(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person()
    open_strict(visitor)

    visitor.page.evaluate("location.href = '/notes/'")
    visitor.page.wait_for_url(SIGN_IN)
    visitor.fill_in(mia)

    assert visitor.path == "site_a/notes/"
    visitor.page.go_back()
    visitor.page.go_back()
    assert visitor.path in {"site_a/", "portal/accounts/login/"}


def test_sign_out_needs_no_script(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.sign_in(new_person())
    browser = visitor.page.context.browser
    assert browser
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(visitor.page.context.cookies())  # type: ignore[arg-type]
    plain = Visitor(context.new_page(), visitor.topology)
    open_strict(plain)

    sign_out_button(plain.page).click()
    plain.page.wait_for_url(SIGNED_OUT)

    assert plain.sso_cookie is None
    assert not visitor.is_signed_in("site_a")
    context.close()
