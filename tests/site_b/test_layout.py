"""What surrounds every page, and how the shop's own user model is filled."""

import uuid

import pytest
from django.conf import settings
from django.core import checks
from pytest_django import DjangoAssertNumQueries, Settings

from site_b.customers.models import Customer
from site_b.mapping import ShopUserMapper
from sso_common.snapshot import UserSnapshot, tombstone
from sso_common.testing import sign_in, sign_out
from sso_common.users import upsert_users
from tests.servers import ValkeyServer

from .conftest import Browser


def snapshot(version: int = 1, **claims: object) -> UserSnapshot:
    return UserSnapshot(sub=uuid.UUID(int=7), version=version, username="anna", **claims)


def test_first_and_last_name_become_one() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund", email="anna@example.com")])

    customer = Customer.objects.get()
    assert (customer.name, customer.email, customer.is_active) == ("Anna Lund", "anna@example.com", True)
    assert isinstance(customer.pk, int)
    assert not customer.has_usable_password()


def test_a_change_of_name_at_the_portal_arrives() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund")])
    upsert_users([snapshot(2, first_name="Anna", last_name="Berg")])

    assert Customer.objects.get().name == "Anna Berg"


def test_somebody_who_is_deleted_at_the_portal_has_no_name_here() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund", email="anna@example.com")])
    upsert_users([tombstone(uuid.UUID(int=7), 2)])

    customer = Customer.objects.get()
    assert (customer.name, customer.email, customer.is_active) == ("", "", False)
    assert "anna" not in customer.username


@pytest.mark.parametrize(
    ("first", "last", "name"), [("Anna", "", "Anna"), ("", "Lund", "Lund"), ("", "", "")]
)
def test_half_a_name_has_no_stray_spaces(first: str, last: str, name: str) -> None:
    assert ShopUserMapper().fields(snapshot(first_name=first, last_name=last))["name"] == name


def test_the_bar_shows_the_name_the_cart_and_a_way_out(shopper: Browser) -> None:
    sign_in(shopper, "anna", first_name="Anna", last_name="Lund")
    shopper.post("/cart/add/", {"product": "mug", "quantity": "3"})

    text = shopper.get("/").text

    assert "Anna Lund" in text
    assert '<span class="count">3' in text
    assert '<form method="post" action="/sso/logout/">' in text


def test_the_bar_offers_to_sign_in_and_to_come_back(shopper: Browser) -> None:
    text = shopper.get("/products/mug/").text

    assert 'href="/sso/login/?next=%2Fproducts%2Fmug%2F"' in text
    assert "/sso/logout/" not in text


def test_the_about_page_asks_neither_redis_nor_the_database(
    shopper: Browser, valkey: ValkeyServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sign_in(shopper, "anna")
    valkey.kill()

    with django_assert_num_queries(0):
        response = shopper.get("/about/")

    assert response.status_code == 200
    assert not response.cookies


def test_pages_of_strangers_without_a_cart_set_no_session_cookie(shopper: Browser) -> None:
    shopper.get("/")
    shopper.get("/cart/")

    assert "__Host-session" not in shopper.cookies


def test_signed_out_elsewhere_is_signed_out_here_at_the_next_request(shopper: Browser) -> None:
    sign_in(shopper, "anna")
    assert shopper.get("/orders/").status_code == 200

    sign_out(shopper)

    assert shopper.get("/orders/").status_code == 302


def test_who_is_not_admitted_here_gets_a_page_and_no_loop(shopper: Browser) -> None:
    sign_in(shopper, "mallory", sites={"site_a": []})

    response = shopper.get("/orders/", follow=True)

    assert response.status_code == 403
    assert response.redirect_chain == []


def test_signing_out_asks_for_the_csrf_token() -> None:
    shopper = Browser(enforce_csrf_checks=True)
    sign_in(shopper, "anna")

    assert shopper.post("/sso/logout/").status_code == 403
    assert shopper.get("/orders/").status_code == 200


def test_redis_away_is_a_503_page(shopper: Browser, valkey: ValkeyServer) -> None:
    sign_in(shopper, "anna")
    valkey.kill()

    response = shopper.get("/")

    assert response.status_code == 503
    assert response["Retry-After"]
    assert not response.cookies


def test_an_unknown_address_is_a_page_of_this_site(shopper: Browser) -> None:
    response = shopper.get("/no/such/page/")

    assert response.status_code == 404
    assert "Page not found" in response.text


def test_static_files_are_served_and_revalidated(shopper: Browser) -> None:
    first = shopper.get("/static/site_b/shop.css")
    again = shopper.get("/static/site_b/shop.css", headers={"If-Modified-Since": first["Last-Modified"]})

    assert (first.status_code, first["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert b"Shop" in first.content
    assert (again.status_code, again.content) == (304, b"")


def test_ten_lines_of_settings_are_all_that_the_package_needs() -> None:
    text = (settings.BASE_DIR / "settings.py").read_text()

    assert [f"# SSO {number}" in text for number in range(1, 11)] == [True] * 10
    assert text.count("# SSO ") == 10


def test_the_configuration_passes_every_check(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["b.sso.localhost"]

    assert checks.run_checks() == []
