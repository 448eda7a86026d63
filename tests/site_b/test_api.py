"""The JSON API: always JSON, never a redirect."""

import uuid

import pytest

from site_b.customers.models import Customer
from site_b.shop.models import Order
from sso_common.testing import sign_in
from tests.servers import ValkeyServer

from .conftest import Browser


@pytest.mark.parametrize("path", ["/api/me/", "/api/orders/"])
@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json", "*/*"])
def test_anonymous_request_gets_401_and_never_a_redirect(shopper: Browser, path: str, accept: str) -> None:
    response = shopper.get(path, headers={"Accept": accept})

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("SSO ")
    assert response.json()["error"] == "not_signed_in"
    assert response.json()["login"] == "http://testserver/sso/login/"


def test_user_without_access_gets_403(shopper: Browser) -> None:
    sign_in(shopper, "mallory", sites={"site_a": []})

    response = shopper.get("/api/me/")

    assert (response.status_code, response.json()["error"]) == (403, "not_admitted")
    assert not Customer.objects.exists()


def test_me_returns_the_local_customer_and_the_subject(shopper: Browser) -> None:
    identity = sign_in(shopper, "anna", first_name="Anna", last_name="Lund", roles=["vip", "editor"])

    answer = shopper.get("/api/me/").json()

    customer = Customer.objects.get()
    assert answer == {
        "id": customer.pk,
        "username": "anna",
        "name": "Anna Lund",
        "email": "anna@example.com",
        "sub": str(identity.sub),
        "roles": ["editor", "vip"],
        "auth_time": identity.auth_time,
        "amr": ["pwd"],
    }


def test_products_use_neither_the_session_nor_the_user(shopper: Browser, valkey: ValkeyServer) -> None:
    sign_in(shopper, "anna")
    valkey.kill()

    response = shopper.get("/api/products/")

    assert response.status_code == 200
    assert len(response.json()["products"]) == 8
    assert shopper.get("/api/products/mug/").json()["price_cents"] == 1900


def test_cart_lines_are_set_and_removed(shopper: Browser) -> None:
    assert shopper.put("/api/cart/mug/", {"quantity": 2}).json()["total_cents"] == 3800
    assert shopper.put("/api/cart/lamp/", {"quantity": 1}).json()["count"] == 3
    assert [line["product"] for line in shopper.delete("/api/cart/mug/").json()["lines"]] == ["lamp"]
    assert shopper.delete("/api/cart/").json() == {
        "lines": [],
        "count": 0,
        "total_cents": 0,
        "currency": "EUR",
    }


@pytest.mark.parametrize(
    "body", ['{"quantity": 100}', '{"quantity": true}', '{"quantity": "2"}', "[1]", "{", "{}"]
)
def test_invalid_quantity_answers_400_and_changes_nothing(shopper: Browser, body: str) -> None:
    response = shopper.put("/api/cart/mug/", body)

    assert (response.status_code, response.json()["error"]) == (400, "bad_quantity")
    assert shopper.get("/api/cart/").json()["lines"] == []


def test_order_empties_the_cart_and_is_created_once(shopper: Browser) -> None:
    sign_in(shopper, "anna")
    shopper.put("/api/cart/mug/", {"quantity": 1})
    body = {"reference": str(uuid.uuid4())}

    first = shopper.post("/api/orders/", body, content_type="application/json")
    second = shopper.post("/api/orders/", body, content_type="application/json")

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert shopper.get("/api/orders/").json()["orders"] == [first.json()]
    assert shopper.get("/api/cart/").json()["lines"] == []


def test_order_with_an_empty_cart_answers_409(shopper: Browser) -> None:
    sign_in(shopper, "anna")

    response = shopper.post("/api/orders/", content_type="application/json")

    assert (response.status_code, response.json()["error"]) == (409, "empty_cart")
    assert not Order.objects.exists()


@pytest.mark.parametrize("body", ["[]", "{", '{"reference": "x"}', '{"reference": 7}'])
def test_invalid_reference_answers_400(shopper: Browser, body: str) -> None:
    sign_in(shopper, "anna")
    shopper.put("/api/cart/mug/", {"quantity": 1})

    response = shopper.post("/api/orders/", body, content_type="application/json")

    assert (response.status_code, response.json()["error"]) == (400, "bad_reference")


@pytest.mark.parametrize("path", ["/api/nothing/", "/api/products/yacht/", "/api/cart/yacht/"])
def test_missing_resource_answers_404_in_json(shopper: Browser, path: str) -> None:
    response = shopper.put(path, {"quantity": 1}) if "cart" in path else shopper.get(path)

    assert (response.status_code, response.json()["error"]) == (404, "not_found")


def test_attack_changing_the_cart_from_another_site() -> None:
    shopper = Browser(enforce_csrf_checks=True)

    response = shopper.put("/api/cart/mug/", {"quantity": 1})

    assert (response.status_code, response.json()["error"]) == (403, "csrf")


def test_script_of_this_site_gets_the_csrf_token() -> None:
    shopper = Browser(enforce_csrf_checks=True)
    shopper.get("/api/cart/")
    token = shopper.cookies["__Host-csrf"].value

    response = shopper.put("/api/cart/mug/", {"quantity": 1}, headers={"X-CSRFToken": token})

    assert response.json()["count"] == 1


def test_redis_down_answers_503_in_json(shopper: Browser, valkey: ValkeyServer) -> None:
    sign_in(shopper, "anna")
    valkey.kill()

    response = shopper.get("/api/me/", headers={"Accept": "application/json"})

    assert response.status_code == 503
    assert response["Retry-After"]
    assert response.json()["error"] == "unavailable"
    assert not response.cookies


def test_personal_responses_are_not_cached(shopper: Browser) -> None:
    sign_in(shopper, "anna")

    for path in ("/api/me/", "/api/orders/", "/api/cart/"):
        assert "no-store" in shopper.get(path)["Cache-Control"]
