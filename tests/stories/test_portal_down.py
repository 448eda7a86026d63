"""While the portal is down, users stay signed in at every site, also across a site's restart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Error

from tests.stories.people import SITES, Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology


@pytest.fixture
def kill_portal(topology: StoryTopology) -> Iterator[Callable[[], None]]:
    """A function that kills the portal (-9). The portal is back after the story."""
    yield topology.parts["portal"].kill
    if not topology.parts["portal"].is_running():
        topology.restart("portal")


def test_users_stay_signed_in_also_across_a_sites_restart(
    visitor: Visitor, new_person: Callable[..., Person], kill_portal: Callable[[], None]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)

    kill_portal()

    for site in SITES:
        assert visitor.is_signed_in(site)
        visitor.topology.restart(site)
        assert visitor.is_signed_in(site)
        assert mia.name in visitor.text
    visitor.open("site_a", "/notes/new/")
    visitor.page.get_by_label("Title").fill("Written without the portal")
    visitor.page.get_by_role("button", name="Save note").click()
    visitor.page.wait_for_url(re.compile(r"/notes/\d+/$"))
    assert visitor.topology.health("site_a") == 200


def test_a_sites_first_visit_of_a_user_needs_neither_portal_nor_feed(
    visitor: Visitor, new_person: Callable[..., Person], kill_portal: Callable[[], None]
) -> None:
    for name in ("sync_a", "sync_b"):
        visitor.topology.parts[name].kill()
    mia = new_person("Mia")
    visitor.sign_in(mia)

    kill_portal()

    visitor.open("site_b", "/orders/")
    assert visitor.path == "site_b/orders/"
    assert mia.name in visitor.text


def test_public_pages_work_and_only_the_sign_in_is_unavailable(
    visitor: Visitor, kill_portal: Callable[[], None]
) -> None:
    kill_portal()

    for site in SITES:
        assert visitor.open(site).status == 200
    answer = visitor.topology.get("site_a", "/sso/login/?next=/notes/")
    assert answer.status == 302
    assert answer.headers["Location"].startswith(visitor.topology.urls["portal"] + "/sso/v1/enter?")
    with pytest.raises(Error, match="ERR_CONNECTION_REFUSED"):
        visitor.open("site_a", "/notes/")


def test_a_sign_out_while_the_portal_is_down_is_final(
    visitor: Visitor, new_person: Callable[..., Person], kill_portal: Callable[[], None]
) -> None:
    visitor.sign_in(new_person())
    cookies = visitor.page.context.cookies()
    visitor.open("site_a")

    kill_portal()
    with visitor.page.expect_event("requestfailed", lambda request: "/signed-out?" in request.url):
        visitor.page.get_by_role("button", name="Sign out").click()

    tab = visitor.page.context.new_page()  # the other one is about to show the browser's error page
    assert not visitor.is_signed_in("site_a", page=tab)
    assert not visitor.is_signed_in("site_b", page=tab)
    visitor.topology.restart("portal")
    visitor.page.context.add_cookies(cookies)
    assert visitor.signed_in_at() == set(), "The portal does not restore the session."


def test_changes_made_during_the_outage_arrive_when_the_portal_is_back(
    topology: StoryTopology,
    new_person: Callable[..., Person],
    kill_portal: Callable[[], None],
    shell: Callable[[str], Shell],
) -> None:
    mia = new_person("Mia")
    known = "User.objects.filter(sso_account__sub=sub, email=email).exists()"

    # An earlier story may have killed the portal, too: wait until site A reads the feed again.
    topology.eventually(lambda: shell("site_a")(known, sub=mia.sub, email=mia.email))
    log = topology.parts["sync_a"].log
    known_lines = log.read_text()
    kill_portal()
    # An operator changes the portal's database while its server is down.
    shell("portal")(
        'user = User.objects.get(pk=sub); user.email = "new@example.com"; user.save()', sub=mia.sub
    )
    topology.eventually(lambda: "cannot be read" in log.read_text().removeprefix(known_lines))
    topology.restart("portal")

    for site in SITES:
        topology.eventually(lambda site=site: shell(site)(known, sub=mia.sub, email="new@example.com"))
