"""A sign-out anywhere is a sign-out everywhere, at the next click."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stories.people import EVERYWHERE, SITES, Person, Visitor


@pytest.mark.parametrize("part", EVERYWHERE)
def test_a_sign_out_anywhere_ends_the_session_everywhere_at_the_next_click(
    visitor: Visitor, new_person: Callable[..., Person], part: str
) -> None:
    visitor.sign_in(new_person())
    tabs = {name: visitor.page.context.new_page() for name in EVERYWHERE}
    assert all(visitor.is_signed_in(name, page=tab) for name, tab in tabs.items())
    sid = visitor.sid

    visitor.sign_out(part)

    assert visitor.path == "portal/sso/v1/signed-out"
    assert visitor.sso_cookie is None, "The portal's signed-out page deletes the cookie."
    for tab in tabs.values():
        tab.reload()
    assert not [name for name, tab in tabs.items() if visitor.is_signed_in(name, page=tab)]
    assert not list(visitor.topology.redis.scan_iter(f"*{sid}*:identity"))


def test_private_pages_lead_to_the_portal_after_sign_out(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    visitor.sign_out("site_b")

    paths = []
    for part, path in (("site_a", "/notes/"), ("site_b", "/orders/"), ("portal", "/account/")):
        visitor.open(part, path)
        paths.append(visitor.path)

    assert paths == ["portal/accounts/login/"] * 3


def test_the_signed_out_page_links_back_to_the_site(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    visitor.sign_out("site_b")

    visitor.page.locator(f'a[href="{visitor.topology.urls["site_b"]}/"]').first.click()

    assert visitor.path == "site_b/"


def test_a_link_cannot_sign_a_user_out(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.sign_in(new_person())
    cookie = visitor.sso_cookie

    for part in SITES:
        assert visitor.topology.get(part, "/sso/logout/", cookies=visitor.cookies_for(part)).status == 405
        visitor.open("portal", f"/sso/v1/signed-out?next={visitor.topology.urls[part]}/")
    visitor.open("portal", "/accounts/logout/")

    assert visitor.signed_in_at() == set(EVERYWHERE)
    assert visitor.sso_cookie == cookie


def test_attack_csrf_on_the_sign_out_from_a_sibling_site_is_refused(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    """Sites under one parent domain are "same-site" to a browser, so SameSite alone is no defence."""
    visitor.sign_in(new_person())

    for part, path in (
        ("site_a", "/sso/logout/"),
        ("portal", "/sso/logout/"),
        ("portal", "/accounts/logout/"),
    ):
        visitor.open("site_b")
        with visitor.page.expect_navigation() as navigation:
            visitor.page.evaluate(
                """address => {
                    const form = document.createElement("form");
                    form.method = "post"; form.action = address;
                    document.body.append(form); form.submit();
                }""",
                visitor.topology.urls[part] + path,
            )
        assert navigation.value.status == 403

    assert visitor.signed_in_at() == set(EVERYWHERE)


def test_deleting_one_sites_session_data_signs_no_user_out(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    """A misconfigured site can lose only its own session data."""
    visitor.sign_in(new_person())
    visitor.signed_in_at()
    namespace = visitor.topology.options.namespace

    visitor.topology.redis.delete(f"{namespace}:{{{visitor.sid}}}:site:site_b")

    assert visitor.signed_in_at() == set(EVERYWHERE)
