"""django-oscar becomes a site by following docs/adding-a-site/oscar.md."""

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

LOGIN_PAGES = ["/accounts/login/", "/accounts/profile/", "/dashboard/", "/dashboard/login/"]


@pytest.fixture(scope="module")
def shop(started_topology: StoryTopology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(started_topology, "shop", "products", tmp_path_factory.mktemp("oscar") / "project")
    with as_site(product, projects.oscar, "oscar", "https://shop.example.com"):
        yield product


def put_in_basket(visitor: Visitor) -> None:
    visitor.open("shop", "/catalogue/a-blue-lamp_1/")
    with visitor.page.expect_navigation(wait_until="domcontentloaded"):
        visitor.page.locator("form[action*='/basket/add/'] button[type=submit]").click()


def basket_of(visitor: Visitor) -> str:
    visitor.open("shop", "/basket/")
    return visitor.page.locator("#content_inner").inner_text()


def test_the_checks_and_the_doctor_find_nothing(shop: Product) -> None:
    checked, examined = shop.command("check"), shop.command("sso_doctor")

    assert checked.stderr + checked.stdout == "System check identified no issues (0 silenced).\n"
    assert examined.returncode == 0, examined.stdout


def test_what_a_visitor_put_in_the_basket_is_there_after_the_sign_in(
    shop: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    put_in_basket(visitor)
    visitor.open("shop", "/checkout/")
    asked_at = visitor.path

    visitor.fill_in(new_person("Bea"))

    assert asked_at.startswith("portal")
    assert visitor.path == "shop/checkout/shipping-address/"
    assert "A blue lamp" in basket_of(visitor)


def test_baskets_from_before_the_change_of_the_key_are_kept(shop: Product, visitor: Visitor) -> None:
    signed = shop.shell(
        """
from django.conf import settings
from django.core.signing import Signer
from oscar.apps.partner.strategy import Selector
from oscar.core.loading import get_model
basket = get_model("basket", "Basket").objects.create()
basket.strategy = Selector().strategy()
basket.add_product(get_model("catalogue", "Product").objects.get(upc="lamp"))
old_key = settings.SECRET_KEY_FALLBACKS[-1]
assert old_key.startswith("django-insecure-")  # that of startproject
print(Signer(key=old_key).sign(basket.pk))
        """
    )
    visitor.page.context.add_cookies([{"name": "oscar_open_basket", "value": signed, "url": shop.url}])

    assert "A blue lamp" in basket_of(visitor)


def test_login_pages_of_oscar_lead_to_the_portal(shop: Product, visitor: Visitor) -> None:
    found = {path: leads_to_the_portal(visitor, "shop", path) for path in LOGIN_PAGES}

    assert found == dict.fromkeys(LOGIN_PAGES, True)


def test_accounts_and_passwords_are_pages_of_the_portal(
    shop: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    def page_at(path: str) -> str:
        visitor.open("shop", path)
        return visitor.path

    anonymous = [page_at(path) for path in ("/accounts/register/", "/password-reset/")]
    visitor.sign_in(new_person("Bea"))
    changed_at = page_at("/accounts/change-password/")

    assert anonymous == ["portal/accounts/signup/", "portal/accounts/password/reset/"]
    assert changed_at == "portal/accounts/password/change/"


def test_a_customer_gets_403_in_the_dashboard(
    shop: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person("Nina"))

    assert status_of(visitor, "shop", "/dashboard/") == 403
    assert status_of(visitor, "shop", "/dashboard/login/") == 403


def test_a_manager_uses_the_dashboard_and_signs_out_everywhere(
    shop: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    arrive(visitor, new_person("Max", roles={"shop": "manager"}), "shop", "/dashboard/partners/create/")
    page = visitor.page
    page.locator("[name=name]").fill("Lamp makers")
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.locator("[name=name]").press("Enter")
    visitor.open("shop", "/dashboard/partners/")
    partners = visitor.text

    with page.expect_navigation(wait_until="domcontentloaded"):
        page.locator("#logout_form").evaluate("form => form.submit()")

    assert "Lamp makers" in partners
    assert is_signed_out_everywhere(visitor, "shop", "/dashboard/")


def test_a_link_or_an_image_signs_nobody_out(
    shop: Product, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    arrive(visitor, new_person("Bea"), "shop", "/accounts/profile/")
    visitor.open("site_a")
    image = "src => new Promise(end => { const image = new Image(); image.onerror = end; image.src = src })"
    visitor.page.evaluate(image, f"{shop.url}/accounts/logout/")

    visitor.open("shop", "/accounts/profile/")
    assert visitor.path == "shop/accounts/profile/", "The image has signed out."
    with visitor.page.expect_navigation(wait_until="domcontentloaded"):
        visitor.page.locator("#logout_link").click()
    wait_for_the_portal(visitor, "/account/")
    is_still_signed_in = visitor.is_signed_in("site_a")
    visitor.sign_out("portal")

    assert is_still_signed_in
    assert is_signed_out_everywhere(visitor, "shop", "/accounts/profile/")
