"""A cart filled before the sign-in is still there after it, for its visitor only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sso_common import store
from tests.stories.people import Person, Visitor


def test_a_cart_filled_before_signing_in_is_there_after_it(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    chosen = put_into_cart(visitor, 2)
    anonymous = visitor.host_cookie("site_b")
    assert anonymous

    visitor.page.get_by_role("link", name=re.compile("Check out")).click()
    visitor.fill_in(new_person())

    assert visitor.path == "site_b/checkout/"
    assert all(name in visitor.text for name in chosen)
    assert cart(visitor, visitor.cookies_for("site_b")) == dict.fromkeys(chosen, 1)
    assert visitor.host_cookie("site_b") is None, "The site's own cookie has no session left."
    # Other stories' visitors have carts of their own.
    name = store.anonymous_key(visitor.topology.options.namespace, "site_b", anonymous)
    assert not visitor.topology.redis.exists(name)


def test_the_old_anonymous_cookie_opens_nothing_in_another_browser(
    visitor: Visitor, new_visitor: Callable[[], Visitor], new_person: Callable[..., Person]
) -> None:
    put_into_cart(visitor, 1)
    stolen = {"__Host-session": visitor.host_cookie("site_b") or ""}
    visitor.sign_in(new_person())
    visitor.open("site_b", "/cart/")

    other = new_visitor()
    other.page.context.add_cookies(
        [
            {"name": "__Host-session", "value": stolen["__Host-session"], "secure": True, "httpOnly": True}
            | {"url": other.topology.urls["site_b"].replace("http:", "https:")}
        ]
    )
    other.open("site_b", "/cart/")

    assert "Your cart is empty" in other.text
    assert not other.is_signed_in("site_b")
    assert cart(other, stolen) == {}


def test_attack_session_fixation_with_a_planted_anonymous_cookie_gains_nothing(
    visitor: Visitor, new_visitor: Callable[[], Visitor], new_person: Callable[..., Person]
) -> None:
    attacker = new_visitor()
    put_into_cart(attacker, 1)
    planted = attacker.page.context.cookies(attacker.topology.urls["site_b"])
    visitor.page.context.add_cookies([each for each in planted if each["name"] == "__Host-session"])

    mia = new_person("Mia")
    visitor.sign_in(mia)
    visitor.open("site_b", "/cart/")
    put_into_cart(visitor, 2)

    assert not attacker.is_signed_in("site_b")
    attacker.open("site_b", "/cart/")
    assert "Your cart is empty" in attacker.text
    assert visitor.is_signed_in("site_b")


def test_the_cart_becomes_an_order_once(visitor: Visitor, new_person: Callable[..., Person]) -> None:
    (name,) = put_into_cart(visitor, 1)
    visitor.sign_in(new_person())

    visitor.open("site_b", "/checkout/")
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Place order").click()
    placed = visitor.path
    visitor.open("site_b", "/orders/")

    assert placed.startswith("site_b/orders/")
    assert visitor.page.get_by_role("article").count() == 1
    assert cart(visitor, visitor.cookies_for("site_b")) == {}
    visitor.page.get_by_role("article").get_by_role("link").first.click()
    assert name in visitor.text


def test_concurrent_requests_each_add_their_own_product(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    """Promise 6, no lost updates: if requests wrote back whole sessions, the last one would win."""
    visitor.sign_in(new_person())
    visitor.open("site_b", "/api/cart/")
    cookies = visitor.cookies_for("site_b")
    products = json.loads(visitor.topology.get("site_b", "/api/products/").body)["products"]

    def put(slug: str) -> int:
        return visitor.topology.get(
            "site_b",
            f"/api/cart/{slug}/",
            method="PUT",
            cookies=cookies,
            headers={"X-CSRFToken": cookies["__Host-csrf"], "Content-Type": "application/json"},
            body='{"quantity": 3}',
        ).status

    slugs = [each["slug"] for each in products]
    with ThreadPoolExecutor(len(slugs)) as threads:
        statuses = set(threads.map(put, slugs))

    assert statuses == {200}
    assert cart(visitor, cookies) == {each["name"]: 3 for each in products}


def test_attack_form_from_before_the_sign_in_is_refused(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    """Promise 13. Whoever used the browser before the sign-in may know its CSRF token."""
    visitor.open("site_b")
    button = visitor.page.get_by_role("article").first.get_by_role("button")
    other_tab = Visitor(visitor.page.context.new_page(), visitor.topology)
    other_tab.sign_in(new_person("Mia"))

    with visitor.page.expect_navigation() as refused:
        button.click()
    assert refused.value.status == 403
    assert "reload the page" in visitor.text

    put_into_cart(visitor, 1)
    assert "Your cart is empty" not in visitor.text


def test_script_that_never_saw_a_form_can_write_after_the_sign_in(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    """The page that it runs on reads no session. It takes the CSRF token from the cookie."""
    visitor.open("site_b", "/api/cart/")
    visitor.sign_in(new_person("Mia"))
    visitor.open("site_b", "/about/")

    status = visitor.page.evaluate(
        """async () => {
            const token = document.cookie.match(/__Host-csrf=([^;]+)/)[1];
            const slug = (await (await fetch("/api/products/")).json()).products[0].slug;
            const headers = {"X-CSRFToken": token, "Content-Type": "application/json"};
            const options = {method: "PUT", headers, body: '{"quantity": 1}'};
            return (await fetch(`/api/cart/${slug}/`, options)).status;
        }"""
    )

    assert status == 200


def put_into_cart(visitor: Visitor, count: int) -> list[str]:
    """Add the first ``count`` products to the cart; return their names."""
    names = []
    for number in range(count):
        visitor.open("site_b")
        product = visitor.page.get_by_role("article").nth(number)
        names.append(product.get_by_role("heading").inner_text())
        with visitor.page.expect_navigation():
            product.get_by_role("button").click()
    visitor.open("site_b", "/cart/")
    return names


def cart(visitor: Visitor, cookies: dict[str, str]) -> dict[str, int]:
    """Return product -> quantity, as the API answers a request with these cookies."""
    body = visitor.topology.get("site_b", "/api/cart/", cookies=cookies).body
    return {line["name"]: line["quantity"] for line in json.loads(body)["lines"]}
