"""pretalx, which has a user model of its own, becomes a site by following docs/adding-a-site/pretalx.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.products import projects
from tests.products.product import Product, as_site
from tests.products.steps import (
    arrive,
    is_signed_out_everywhere,
    leads_to_the_portal,
    status_of,
    wait_for_the_portal,
)
from tests.stories.people import Person, Visitor
from tests.stories.topology import StoryTopology

LOGIN_PAGES = [
    "/orga/",
    "/orga/login/",
    "/orga/event/tea/",
    "/orga/event/tea/login/",
    "/tea/login/",
    "/tea/me/",
]


@pytest.fixture(scope="module")
def talks(started_topology: StoryTopology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("pretalx") / "project"
    product = Product(started_topology, "talks", "pretalx", folder, ("-m", "pretalx"))
    product.variables = projects.pretalx_variables(product)
    with as_site(product, projects.pretalx, "pretalx", "https://talks.example.com"):
        yield product


def test_the_checks_and_the_doctor_find_nothing(talks: Product) -> None:
    checked, examined = talks.command("check"), talks.command("sso_doctor", f"--host={talks.host}")

    assert checked.returncode == 0
    assert "sso." not in checked.stderr, checked.stderr
    assert examined.returncode == 0, examined.stdout


def test_login_pages_of_pretalx_lead_to_the_portal(talks: Product, visitor: Visitor) -> None:
    found = {path: leads_to_the_portal(visitor, "talks", path) for path in LOGIN_PAGES}

    assert found == dict.fromkeys(LOGIN_PAGES, True)


def test_passwords_are_reset_at_the_portal(talks: Product, visitor: Visitor) -> None:
    visitor.open("talks", "/orga/reset/")
    of_organisers = visitor.path
    visitor.open("talks", "/tea/reset")

    assert of_organisers == visitor.path == "portal/accounts/password/reset/"


def test_a_speaker_submits_a_proposal(
    talks: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    tea = new_person("Tea")
    arrive(visitor, tea, "talks", "/tea/me/")
    page = visitor.page
    assert page.locator("[name=name]").input_value() == tea.name

    visitor.open("talks", "/tea/submit/")
    page.get_by_label("Proposal title").fill("How to brew")
    page.locator("[name=abstract]").fill("With water.")
    press_submit(visitor)
    page.locator("[name=biography]").fill("Has been brewing for years.")
    press_submit(visitor)

    assert visitor.path == "talks/tea/me/submissions/"
    assert "How to brew" in visitor.text
    assert visitor.is_signed_in("site_a"), "pretalx logs speakers in again: the single sign-on goes on."


def test_visitors_sign_in_before_they_submit(
    talks: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.open("talks", "/tea/submit/")
    asked_at = visitor.path

    visitor.fill_in(new_person("Tea"))

    assert asked_at.startswith("portal")
    assert visitor.path.startswith("talks/tea/submit/")


def press_submit(visitor: Visitor) -> None:
    with visitor.page.expect_navigation(wait_until="domcontentloaded"):
        visitor.page.locator("button[name=action][value=submit]").last.click()


def test_only_the_role_makes_an_administrator(
    talks: Product, visitor: Visitor, new_visitor: Callable[[], Visitor], new_person: Callable[..., Person]
) -> None:
    arrive(visitor, new_person("Max", roles={"talks": "administrator"}), "talks", "/orga/admin/")
    seen = visitor.text
    other = new_visitor()
    other.sign_in(new_person("Nina"))

    assert "Administrator information" in seen
    assert status_of(other, "talks", "/orga/admin/") == 404, "pretalx hides what one has no access to."
    assert other.path == "talks/orga/admin/"


def test_sign_out_is_sign_out_everywhere_under_the_policy_of_pretalx(
    talks: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    arrive(visitor, new_person("Ola"), "talks", "/tea/me/")
    policy = visitor.open("talks", "/orga/event/").headers["content-security-policy"]

    visitor.page.locator("form[action*=logout]").first.evaluate("form => form.submit()")
    wait_for_the_portal(visitor)

    assert "form-action 'self'" in policy
    assert is_signed_out_everywhere(visitor, "talks", "/orga/")
