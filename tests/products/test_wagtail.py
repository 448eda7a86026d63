"""Wagtail becomes a site by following docs/adding-a-site/wagtail.md."""

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

ADMIN = "/admin/"
ADMIN_PAGES = [ADMIN, "/admin/login/", "/django-admin/"]


@pytest.fixture(scope="module")
def cms(started_topology: StoryTopology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(started_topology, "cms", "products", tmp_path_factory.mktemp("wagtail") / "project")
    with as_site(product, projects.wagtail, "wagtail", "https://cms.example.com"):
        yield product


def test_the_checks_and_the_doctor_find_nothing(cms: Product) -> None:
    checked, examined = cms.command("check"), cms.command("sso_doctor", f"--host={cms.host}")

    assert checked.stderr + checked.stdout == "System check identified no issues (0 silenced).\n"
    assert examined.returncode == 0, examined.stdout


def test_one_sign_in_opens_the_admin(
    cms: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person("Ed", roles={"cms": "editor"}))

    answer = visitor.open("cms", ADMIN)

    assert "Dashboard" in visitor.page.title()
    assert answer.request.redirected_from is None


def test_login_pages_of_wagtail_lead_to_the_portal(cms: Product, visitor: Visitor) -> None:
    found = {path: leads_to_the_portal(visitor, "cms", path) for path in ADMIN_PAGES}

    assert found == dict.fromkeys(ADMIN_PAGES, True)


def test_a_private_page_opens_after_the_sign_in(
    cms: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    cms.shell(
        """
from home.models import HomePage
from wagtail.models import Page, PageViewRestriction
home = Page.objects.get(url_path="/home/")
page = home.add_child(instance=HomePage(title="For the family", slug="private"))
PageViewRestriction.objects.create(page=page, restriction_type="login")
        """
    )

    arrive(visitor, new_person("Ola"), "cms", "/private/")

    assert visitor.page.title() == "For the family"


def test_a_user_without_rights_gets_403_and_no_loop(
    cms: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person("Nina"))

    found = {path: status_of(visitor, "cms", path) for path in ADMIN_PAGES}

    assert found == dict.fromkeys(ADMIN_PAGES, 403)


def test_a_moderator_publishes_a_page(
    cms: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    arrive(visitor, new_person("Mo", roles={"cms": "moderator"}), "cms", "/admin/pages/3/edit/")
    page = visitor.page

    page.locator("[name=title]").fill("Welcome, all of you")
    page.get_by_role("button", name="More actions").last.click()
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.locator("button[name=action-publish]").click()

    visitor.open("cms")
    assert page.title() == "Welcome, all of you"


def test_a_user_of_the_portal_becomes_a_superuser(
    cms: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    sue = new_person("Sue", roles={"cms": "editor"})
    arrive(visitor, sue, "cms", ADMIN)
    visitor.open("cms", "/admin/users/")
    was_refused = visitor.path == f"cms{ADMIN}"

    changes = "is_superuser=True, first_name='Changed here'"
    cms.shell(f"User.objects.filter(username='{sue.username}').update({changes})")
    cms.manage("sso_sync", "--full")
    visitor.open("cms", "/admin/users/")
    visitor.page.get_by_text(sue.name).first.wait_for()

    assert was_refused
    assert "Changed here" not in visitor.text, "Names are those of the portal."
    assert visitor.path == "cms/admin/users/"


def test_sign_out_in_the_admin_is_sign_out_everywhere(
    cms: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    arrive(visitor, new_person("Ed", roles={"cms": "editor"}), "cms", ADMIN)
    assert visitor.is_signed_in("site_a")
    visitor.open("cms", ADMIN)

    visitor.page.locator(".sidebar-footer__account").click()
    visitor.page.get_by_role("button", name="Log out").click()
    wait_for_the_portal(visitor)

    assert is_signed_out_everywhere(visitor, "cms", ADMIN)
