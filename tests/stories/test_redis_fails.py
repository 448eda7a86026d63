"""Unavailable is never absent: an outage of Redis signs no user out and touches no cookie."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from sso_common.store.outage import Outage
from tests.stories.people import EVERYWHERE, Person, Visitor
from tests.stories.test_cart import cart, put_into_cart
from tests.stories.topology import StoryTopology
from tests.timing import tries_within

#: The promise: seconds until a page says that Redis does not answer.
LIMIT = 1.5
#: Seconds after which a server asks Redis again, so that another try waits as long as the first.
PAUSE = Outage.PAUSE + 0.1
#: Pages that need the session.
NEEDING = [
    ("site_a", "/notes/"),
    ("site_a", "/you/"),
    ("site_b", "/orders/"),
    ("site_b", "/cart/"),
    ("portal", "/account/"),
]
#: Pages that do not use it.
PUBLIC = [("site_a", "/about/"), ("site_b", "/about/"), ("site_b", "/api/products/")]


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_pages_that_need_the_session_return_503_in_time_and_set_no_cookie(
    visitor: Visitor, new_person: Callable[..., Person], harm: str
) -> None:
    topology = visitor.topology
    visitor.sign_in(new_person())
    visitor.signed_in_at()
    cookies = {part: visitor.cookies_for(part) for part in EVERYWHERE}

    getattr(topology.parts["redis"], harm)()

    for place in NEEDING:
        for attempt in tries_within(LIMIT, pause=PAUSE):
            with attempt:
                answer = topology.get(*place, cookies=cookies[place[0]])

            assert answer.status == 503, place
            assert int(answer.headers["Retry-After"]) > 0, place
            assert "Set-Cookie" not in answer.headers, place
            assert "no-store" in answer.headers["Cache-Control"], place


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_pages_that_do_not_use_the_session_work(
    visitor: Visitor, new_person: Callable[..., Person], harm: str
) -> None:
    topology = visitor.topology
    visitor.sign_in(new_person())
    cookies = {part: visitor.cookies_for(part) for part in EVERYWHERE}

    getattr(topology.parts["redis"], harm)()

    for place in PUBLIC:
        for attempt in tries_within(0.5):
            with attempt:
                answer = topology.get(*place, cookies=cookies[place[0]])

            assert answer.status == 200, place


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_api_requests_get_the_503_as_json(
    visitor: Visitor, new_person: Callable[..., Person], harm: str
) -> None:
    topology = visitor.topology
    visitor.sign_in(new_person())
    cookies = visitor.cookies_for("site_b")

    getattr(topology.parts["redis"], harm)()

    for path in ("/api/me/", "/api/cart/", "/orders/"):
        for attempt in tries_within(LIMIT, pause=PAUSE):
            with attempt:
                answer = topology.get("site_b", path, cookies=cookies, headers={"Accept": "application/json"})

            assert answer.status == 503, path
            assert json.loads(answer.body)["error"] == "unavailable", path


def test_a_killed_redis_signs_no_user_out_when_it_is_back(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    chosen = put_into_cart(visitor, 2)
    visitor.signed_in_at()
    before = visitor.page.context.cookies()

    visitor.topology.parts["redis"].kill()
    response = visitor.open("site_a", "/notes/")
    shown = visitor.text
    visitor.open("site_b", "/orders/")
    visitor.topology.restart("redis")

    assert response.status == 503
    assert "signed in" in shown, "The page says that the user is still signed in."
    assert visitor.page.context.cookies() == before
    assert visitor.signed_in_at() == set(EVERYWHERE)
    assert cart(visitor, visitor.cookies_for("site_b")) == dict.fromkeys(chosen, 1)


def test_a_form_sent_during_the_outage_changes_nothing_and_can_be_resent(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    visitor.open("site_a", "/notes/new/")
    visitor.page.get_by_label("Title").fill("Sent twice")

    visitor.topology.parts["redis"].pause()
    with visitor.page.expect_navigation() as navigation:
        visitor.page.get_by_role("button", name="Save note").click()
    visitor.topology.parts["redis"].resume()
    visitor.topology.wait_until_ready()  # the page asks for a few seconds
    visitor.page.reload()  # resends the form
    assert re.fullmatch(r"site_a/notes/\d+/", visitor.path)
    visitor.open("site_a", "/notes/")

    assert navigation.value.status == 503
    assert visitor.text.count("Sent twice") == 1


def test_a_sign_out_that_fails_is_not_shown_as_done(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())

    for part in ("site_a", "site_b"):
        visitor.open(part)
        visitor.topology.parts["redis"].pause()
        with visitor.page.expect_navigation() as navigation:
            visitor.page.get_by_role("button", name="Sign out").click()
        visitor.topology.parts["redis"].resume()
        visitor.topology.wait_until_ready()
        assert navigation.value.status == 503

    assert visitor.signed_in_at() == set(EVERYWHERE)


def test_the_health_pages_report_the_outage(topology: StoryTopology) -> None:
    topology.parts["redis"].kill()

    answers = {part: topology.get(part, "/sso/health/") for part in EVERYWHERE}

    assert {part: answer.status for part, answer in answers.items()} == dict.fromkeys(EVERYWHERE, 503)
    assert all(json.loads(answer.body)["redis"] != "ok" for answer in answers.values())
