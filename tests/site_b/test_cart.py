"""The cart, before and after sign-in, and the orders made from it."""

import uuid

import pytest
from asgiref.sync import async_to_sync
from django.db.models import ProtectedError

from site_b.customers.models import Customer
from site_b.shop.cart import Cart
from site_b.shop.models import Order, Product
from sso_common.sessions import SessionStore
from sso_common.testing import sign_in

from .conftest import Browser


def cart(browser: Browser) -> dict[str, int]:
    """Slug -> quantity."""
    return {line["product"]: line["quantity"] for line in browser.get("/api/cart/").json()["lines"]}


def order_form(browser: Browser) -> str:
    """The reference in the checkout form."""
    return browser.get("/checkout/").context["form"]["reference"].value()


def test_anonymous_visitor_can_fill_a_cart(shopper: Browser) -> None:
    response = shopper.post("/cart/add/", {"product": "mug", "quantity": "2"}, follow=True)

    assert "Speckled mug was added to your cart." in response.text
    assert cart(shopper) == {"mug": 2}


def test_add_increases_the_quantity_and_change_sets_it(shopper: Browser) -> None:
    shopper.post("/cart/add/", {"product": "mug", "quantity": "2"})
    shopper.post("/cart/add/", {"product": "mug", "quantity": "1"})
    shopper.post("/cart/add/", {"product": "lamp", "quantity": "1"})
    assert cart(shopper) == {"mug": 3, "lamp": 1}

    shopper.post("/cart/change/", {"product": "mug", "quantity": "1"})
    shopper.post("/cart/change/", {"product": "lamp", "quantity": "0"})
    assert cart(shopper) == {"mug": 1}


def test_cart_holds_at_most_99_of_a_product(shopper: Browser) -> None:
    shopper.post("/cart/add/", {"product": "mug", "quantity": "99"})
    shopper.post("/cart/add/", {"product": "mug", "quantity": "5"})

    assert cart(shopper) == {"mug": 99}


@pytest.mark.parametrize(
    "form", [{"product": "yacht", "quantity": "1"}, {"product": "mug", "quantity": "-3"}, {"product": "mug"}]
)
def test_invalid_form_changes_nothing_and_shows_an_error(shopper: Browser, form: dict[str, str]) -> None:
    response = shopper.post("/cart/add/", form, follow=True)

    assert "That product could not be added to your cart." in response.text
    assert cart(shopper) == {}


def test_cart_survives_sign_in(shopper: Browser) -> None:
    shopper.post("/cart/add/", {"product": "mug", "quantity": "2"})

    sign_in(shopper, "anna")

    assert cart(shopper) == {"mug": 2}
    assert shopper.cookies["__Host-session"].value == ""  # the anonymous session is gone


def test_anonymous_cart_is_merged_into_the_cart_of_the_user(shopper: Browser) -> None:
    sign_in(shopper, "anna")
    shopper.post("/cart/add/", {"product": "mug", "quantity": "1"})
    token = shopper.cookies.pop("__Secure-sso-test").value
    shopper.post("/cart/add/", {"product": "lamp", "quantity": "1"})
    assert cart(shopper) == {"lamp": 1}

    shopper.cookies["__Secure-sso-test"] = token

    assert cart(shopper) == {"mug": 1, "lamp": 1}


def test_concurrent_requests_that_add_products_are_both_saved(shopper: Browser) -> None:
    shopper.post("/cart/add/", {"product": "mug", "quantity": "1"})
    key = shopper.cookies["__Host-session"].value
    first, second = SessionStore(key), SessionStore(key)
    assert first["cart:mug"] == second["cart:mug"] == 1

    async_to_sync(Cart(first).add)("lamp")
    async_to_sync(Cart(second).add)("clock")
    first.save()
    second.save()

    assert cart(shopper) == {"mug": 1, "lamp": 1, "clock": 1}


def test_checkout_sends_anonymous_visitors_to_sign_in_and_back(shopper: Browser) -> None:
    shopper.post("/cart/add/", {"product": "mug", "quantity": "1"})

    response = shopper.get("/checkout/")

    assert response.status_code == 302
    assert response["Location"] == "/sso/login/?next=/checkout/"


def test_order_contains_the_cart_at_the_price_of_that_day(shopper: Browser) -> None:
    shopper.post("/cart/add/", {"product": "mug", "quantity": "2"})
    shopper.post("/cart/add/", {"product": "candle", "quantity": "1"})
    sign_in(shopper, "anna", first_name="Anna", last_name="Lund")

    response = shopper.post("/checkout/", {"reference": order_form(shopper)}, follow=True)
    Product.objects.filter(slug="mug").update(price_cents=1)

    assert "Thank you! Your order has been placed." in response.text
    order = Order.objects.get()
    assert order.customer.name == "Anna Lund"
    assert order.total_cents == 2 * 1900 + 2200
    assert [(line.product.slug, line.quantity, line.unit_cents) for line in order.lines.all()] == [
        ("mug", 2, 1900),
        ("candle", 1, 2200),
    ]
    assert cart(shopper) == {}
    assert "€60.00" in shopper.get("/orders/").text


def test_form_submitted_twice_creates_one_order(shopper: Browser) -> None:
    sign_in(shopper, "anna")
    shopper.post("/cart/add/", {"product": "mug", "quantity": "1"})
    form = {"reference": order_form(shopper)}

    first, second = shopper.post("/checkout/", form), shopper.post("/checkout/", form)

    assert first["Location"] == second["Location"]
    assert Order.objects.count() == 1


def test_empty_cart_creates_no_order(shopper: Browser) -> None:
    sign_in(shopper, "anna")

    response = shopper.post("/checkout/", {"reference": str(uuid.uuid4())}, follow=True)

    assert "Add a product to your cart" in response.text
    assert not Order.objects.exists()


def test_attack_reading_another_customers_order(shopper: Browser) -> None:
    ben = Customer.objects.create_user("ben")
    order = Order.objects.create(reference=uuid.uuid4(), customer=ben, total_cents=100)
    sign_in(shopper, "mallory")

    response = shopper.get(order.get_absolute_url())

    assert response.status_code == 404
    assert order.reference.hex[:8].upper() not in shopper.get("/orders/").text


def test_attack_ordering_with_another_customers_reference(shopper: Browser) -> None:
    ben = Customer.objects.create_user("ben")
    order = Order.objects.create(reference=uuid.uuid4(), customer=ben, total_cents=100)
    sign_in(shopper, "mallory")
    shopper.post("/cart/add/", {"product": "mug", "quantity": "1"})

    response = shopper.post("/checkout/", {"reference": str(order.reference)})

    assert response.status_code == 403
    assert Order.objects.get() == order
    assert cart(shopper) == {"mug": 1}


def test_customer_with_orders_cannot_be_deleted() -> None:
    ben = Customer.objects.create_user("ben")
    Order.objects.create(reference=uuid.uuid4(), customer=ben, total_cents=100)

    with pytest.raises(ProtectedError):
        ben.delete()
    assert Order.objects.get().customer == ben


def test_eight_products_are_listed_each_with_its_picture(shopper: Browser) -> None:
    text = shopper.get("/").text

    assert Product.objects.count() == 8
    for product in Product.objects.all():
        assert product.name in text
        picture = shopper.get(f"/static/{product.art}")
        assert picture["Content-Type"] == "image/svg+xml"
        assert product.description[:20] in shopper.get(product.get_absolute_url()).text
