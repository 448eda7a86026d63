"""Two tabs and slow responses: no overwritten cookie, no resurrected session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.stories.people import EVERYWHERE, Person, Visitor, sign_out_button
from tests.stories.slow_proxy import SlowProxy
from tests.stories.topology import StoryTopology
from tests.timing import WAIT


@pytest.fixture
def proxy() -> Iterator[SlowProxy]:
    proxy = SlowProxy()
    yield proxy
    proxy.close()


@pytest.fixture
def visitor(browser: Browser, topology: StoryTopology, proxy: SlowProxy) -> Iterator[Visitor]:
    context = browser.new_context(locale="en-GB", proxy={"server": proxy.address})
    context.set_default_timeout(1000 * WAIT)
    yield Visitor(context.new_page(), topology)
    context.close()


@pytest.fixture
def other_tab(visitor: Visitor) -> Page:
    return visitor.page.context.new_page()


def start(tab: Page, address: str) -> None:
    """Navigate without waiting for the response."""
    tab.evaluate("address => { window.setTimeout(() => { location.href = address }) }", address)


def answered(visitor: Visitor, text: str) -> bool:
    """Return whether the browser has received the response."""
    return any(text in answer.url for answer in visitor.answers)


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("site_a", "/?slow"),
        ("site_a", "/notes/?slow"),
        ("site_b", "/cart/?slow"),
        ("portal", "/?slow"),
        ("portal", "/accounts/login/?slow"),
        ("portal", "/sso/v1/signed-out?slow"),
    ],
)
def test_a_page_requested_before_a_sign_in_and_received_after_it_changes_nothing(
    visitor: Visitor,
    other_tab: Page,
    proxy: SlowProxy,
    new_person: Callable[..., Person],
    part: str,
    path: str,
) -> None:
    visitor.open("site_b", "/cart/")
    other_tab.goto(visitor.topology.urls[part])

    with proxy.holding("response", "?slow") as held:
        start(other_tab, visitor.topology.urls[part] + path)
        held.wait_until_here()
        visitor.sign_in(new_person())
        cookie = visitor.sso_cookie
    visitor.topology.eventually(lambda: _pumped(visitor) and answered(visitor, "?slow"))

    assert visitor.sso_cookie == cookie
    assert visitor.signed_in_at() == set(EVERYWHERE)


@pytest.mark.parametrize("what", ["request", "response"])
@pytest.mark.parametrize(
    ("part", "path"), [("site_a", "/you/?slow"), ("site_b", "/orders/?slow"), ("portal", "/account/?slow")]
)
def test_a_sign_out_while_another_tab_waits_is_final(
    visitor: Visitor,
    other_tab: Page,
    proxy: SlowProxy,
    new_person: Callable[..., Person],
    part: str,
    path: str,
    what: str,
) -> None:
    visitor.sign_in(new_person())
    sid = visitor.sid
    other_tab.goto(visitor.topology.urls[part])

    with proxy.holding(what, "?slow") as held:
        start(other_tab, visitor.topology.urls[part] + path)
        held.wait_until_here()
        visitor.sign_out("site_a" if part == "site_b" else "site_b")
    visitor.topology.eventually(lambda: _pumped(visitor) and answered(visitor, "?slow"))

    assert visitor.sso_cookie is None
    assert visitor.signed_in_at() == set()
    assert not list(visitor.topology.redis.scan_iter(f"*{sid}*:identity"))


def test_a_late_change_to_the_cart_does_not_resurrect_the_session(
    visitor: Visitor, other_tab: Page, proxy: SlowProxy, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    sid = visitor.sid
    other_tab.goto(visitor.topology.urls["site_b"])

    with proxy.holding("request", "/cart/add/") as held:
        other_tab.evaluate("window.setTimeout(() => document.querySelector('article form button').click())")
        held.wait_until_here()
        visitor.sign_out("site_a")
    visitor.topology.eventually(lambda: _pumped(visitor) and answered(visitor, "/cart/add/"))

    assert visitor.signed_in_at() == set()
    # The data of other sites remains until the portal learns of the sign-out.
    visitor.topology.eventually(lambda: not list(visitor.topology.redis.scan_iter(f"*{sid}*")))


#: ``SLOW_SIGN_OUTS=1000`` is the long form.
SLOW_SIGN_OUTS = int(os.environ.get("SLOW_SIGN_OUTS", "3"))


@pytest.mark.parametrize("what", ["request", "response"])
@pytest.mark.parametrize("part", EVERYWHERE)
def test_a_slow_signed_out_page_costs_no_second_sign_in(
    visitor: Visitor,
    other_tab: Page,
    proxy: SlowProxy,
    new_person: Callable[..., Person],
    part: str,
    what: str,
) -> None:
    """It deletes the cookie of the sign-in that has happened in the meantime. The hop restores that one."""
    mia = new_person("Mia")
    visitor.sign_in(mia)
    for _ in range(SLOW_SIGN_OUTS):
        other_tab.goto(visitor.topology.urls[part])
        visitor.answers.clear()
        with proxy.holding(what, "/sso/v1/signed-out") as held:
            sign_out_button(other_tab).evaluate("button => { window.setTimeout(() => button.click()) }")
            held.wait_until_here()
            visitor.sign_in(mia)
            cookie = visitor.sso_cookie
        visitor.topology.eventually(lambda: _pumped(visitor) and answered(visitor, "/sso/v1/signed-out"))

        visitor.open("site_a", "/you/")

        assert mia.name in visitor.text, "There was a form to sign in."
        assert visitor.sso_cookie == cookie
        assert visitor.signed_in_at() == set(EVERYWHERE)


def test_two_concurrent_sign_ins_leave_one_working_session(
    visitor: Visitor, other_tab: Page, proxy: SlowProxy, new_person: Callable[..., Person]
) -> None:
    mia, ben = new_person("Mia"), new_person("Ben")
    here, there = visitor, Visitor(other_tab, visitor.topology)
    for each in (here, there):
        each.open("portal", "/accounts/login/")

    with proxy.holding("response", "/accounts/login/") as held:
        other_tab.locator("input[name=login]").fill(ben.username)
        other_tab.locator("input[name=password]").fill(ben.password)
        other_tab.locator("form:has(input[name=password]) button[type=submit]").evaluate(
            "button => { window.setTimeout(() => button.click()) }"
        )
        held.wait_until_here()
        here.fill_in(mia)
    other_tab.wait_for_url(visitor.topology.urls["portal"] + "/")

    assert here.signed_in_at() == set(EVERYWHERE)
    names = {part: (here.open(part), mia.name in here.text, ben.name in here.text)[1:] for part in EVERYWHERE}
    assert len(set(names.values())) == 1, "All parts show the same user."


def _pumped(visitor: Visitor) -> bool:
    """Let Playwright deliver its events, which it does only during a call."""
    visitor.page.evaluate("1")
    return True
