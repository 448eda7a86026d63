"""A members-only site tells users without a role that they have no access, and offers a way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.stories.conftest import open_shell
from tests.stories.people import Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module", autouse=True)
def members_only(started_topology: StoryTopology, shells: dict[str, Shell]) -> Iterator[None]:
    """Site B admits only users who hold a role there, in all stories of this file."""
    change = 'Site.objects.filter(name="site_b").update(access=access)'
    open_shell(started_topology, shells, "portal")(change, access="members")
    yield
    open_shell(started_topology, shells, "portal")(change, access="everyone")


def test_non_members_get_a_page_with_a_way_back(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.sign_in(new_person())
    visitor.forget()

    response = visitor.open("site_b", "/orders/")

    assert response.status == 403
    assert visitor.path.startswith("site_b/")
    assert not [answer.url for answer in visitor.answers if "portal." in urlsplit(answer.url).netloc]
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("main").get_by_role("link").first.click()
    assert visitor.page.url.startswith(tuple(visitor.topology.urls.values()))
    assert visitor.signed_in_at() == {"portal", "site_a"}


def test_api_requests_of_non_members_get_403(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    visitor.sign_in(new_person())
    cookies = visitor.cookies_for("site_b")

    answers = [
        visitor.topology.get("site_b", path, cookies=cookies, headers=JSON)
        for path in ("/api/me/", "/orders/")
    ]

    for answer in answers:
        assert answer.status == 403
        assert json.loads(answer.body)["error"] == "not_admitted"


def test_a_role_gives_access_at_the_next_click_and_its_loss_takes_it(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    user = "user = User.objects.get(pk=sub)\n"
    give = user + 'from portal.registry import services; services.give_role(user, "site_b", "manager")'
    take = 'Grant.objects.get(user=sub, role__name="manager").delete()'

    before = visitor.open("site_b", "/orders/").status
    shell("portal")(give, sub=mia.sub)
    during = visitor.open("site_b", "/orders/").status
    shell("portal")(take, sub=mia.sub)
    after = visitor.open("site_b", "/orders/").status

    assert (before, during, after) == (403, 200, 403)


def test_a_members_only_site_receives_only_its_members(
    new_person: Callable[..., Person], shell: Callable[[str], Shell], visitor: Visitor
) -> None:
    stranger = new_person("Stranger")
    member = new_person("Member", roles={"site_b": "manager"})
    known = "Account.objects.filter(sub=sub, is_active=True).exists()"

    visitor.topology.eventually(lambda: shell("site_b")(known, sub=member.sub))

    assert not shell("site_b")("User.objects.filter(username=name).exists()", name=stranger.username)
