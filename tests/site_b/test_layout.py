"""The layout of Shop's pages: the user, sign-in and sign-out, error pages, and what a page costs."""

from django.conf import settings
from django.core import checks
from pytest_django import DjangoAssertNumQueries, Settings

from sso_common.testing import sign_in, sign_out
from tests.servers import ValkeyServer

from .conftest import Browser


def test_bar_shows_the_name_the_cart_and_the_sign_out_button(shopper: Browser) -> None:
    sign_in(shopper, "anna", first_name="Anna", last_name="Lund")
    shopper.post("/cart/add/", {"product": "mug", "quantity": "3"})

    text = shopper.get("/").text

    assert "Anna Lund" in text
    assert '<span class="count">3' in text
    assert '<form method="post" action="/sso/logout/">' in text


def test_bar_links_to_sign_in_and_back_to_the_same_page(shopper: Browser) -> None:
    text = shopper.get("/products/mug/").text

    assert 'href="/sso/login/?next=%2Fproducts%2Fmug%2F"' in text
    assert "/sso/logout/" not in text


def test_about_page_uses_neither_redis_nor_the_database(
    shopper: Browser, valkey: ValkeyServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sign_in(shopper, "anna")
    valkey.kill()

    with django_assert_num_queries(0):
        response = shopper.get("/about/")

    assert response.status_code == 200
    assert not response.cookies


def test_visitor_without_a_cart_gets_no_session_cookie(shopper: Browser) -> None:
    shopper.get("/")
    shopper.get("/cart/")

    assert "__Host-session" not in shopper.cookies


def test_sign_out_elsewhere_takes_effect_at_the_next_request(shopper: Browser) -> None:
    sign_in(shopper, "anna")
    assert shopper.get("/orders/").status_code == 200

    sign_out(shopper)

    assert shopper.get("/orders/").status_code == 302


def test_user_without_access_gets_a_403_page_and_no_loop(shopper: Browser) -> None:
    sign_in(shopper, "mallory", sites={"site_a": []})

    response = shopper.get("/orders/", follow=True)

    assert response.status_code == 403
    assert response.redirect_chain == []


def test_sign_out_requires_the_csrf_token() -> None:
    shopper = Browser(enforce_csrf_checks=True)
    sign_in(shopper, "anna")

    assert shopper.post("/sso/logout/").status_code == 403
    assert shopper.get("/orders/").status_code == 200


def test_redis_down_answers_503_with_a_page(shopper: Browser, valkey: ValkeyServer) -> None:
    sign_in(shopper, "anna")
    valkey.kill()

    response = shopper.get("/")

    assert response.status_code == 503
    assert response["Retry-After"]
    assert not response.cookies


def test_unknown_address_shows_this_sites_404_page(shopper: Browser) -> None:
    response = shopper.get("/no/such/page/")

    assert response.status_code == 404
    assert "Page not found" in response.text


def test_static_files_are_served_and_revalidated(shopper: Browser) -> None:
    first = shopper.get("/static/site_b/shop.css")
    again = shopper.get("/static/site_b/shop.css", headers={"If-Modified-Since": first["Last-Modified"]})

    assert (first.status_code, first["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert b"Shop" in first.content
    assert (again.status_code, again.content) == (304, b"")


def test_settings_mark_the_ten_lines_of_the_readme() -> None:
    text = (settings.BASE_DIR / "settings.py").read_text()

    assert [f"# SSO {number}" in text for number in range(1, 11)] == [True] * 10
    assert text.count("# SSO ") == 10


def test_configuration_passes_all_checks(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["b.sso.localhost"]

    assert checks.run_checks() == []
