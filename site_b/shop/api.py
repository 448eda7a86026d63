"""The JSON API. A request that must be signed in and is not gets 401, never a redirect.

The API is for scripts in a browser. They send the same cookies as the pages. Requests that change
something also need the CSRF token (``X-CSRFToken``), which ``GET /api/cart/`` sets as a cookie. Amounts
are in cents.
"""

import functools
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_http_methods

from site_b.customers.models import Customer
from sso_common.exceptions import NotAdmitted
from sso_common.responses import unauthorized

from .cart import MAX_QUANTITY, Cart, Line, total_cents
from .errors import api_error
from .models import Order, Product
from .orders import place_order

CURRENCY = "EUR"

View = Callable[..., Awaitable[HttpResponse]]


def customer_required(view: View) -> View:
    """Pass the customer to the view as its second argument.

    Answers 401 to anonymous requests, and 403 to users who are signed in at the portal but have no
    access to this site.
    """

    @functools.wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        customer = await request.auser()
        if not customer.is_authenticated:
            if isinstance(request.session.refusal, NotAdmitted):
                return api_error(
                    403, "not_admitted", "You are signed in, but you don't have access to this site."
                )
            return unauthorized(request.build_absolute_uri(reverse("sso:login")))
        return await view(request, customer, *args, **kwargs)

    return never_cache(guarded)


# --- products: no session ----------------------------------------------------------------------------


@require_GET
async def products(request: HttpRequest) -> HttpResponse:
    """``{"products": [...]}``"""
    return JsonResponse({"products": [product_json(each) async for each in Product.objects.all()]})


@require_GET
async def product(request: HttpRequest, slug: str) -> HttpResponse:
    """A product."""
    found = await Product.objects.filter(slug=slug).afirst()
    return product_not_found() if found is None else JsonResponse(product_json(found))


# --- the cart: an anonymous or a signed-in session ---------------------------------------------------


@never_cache
@ensure_csrf_cookie
@require_http_methods(["GET", "DELETE"])
async def cart(request: HttpRequest) -> HttpResponse:
    """GET: the cart. DELETE: empty it."""
    in_cart = Cart(request.session)
    if request.method == "DELETE":
        await in_cart.clear()
    return JsonResponse(cart_json(await in_cart.lines()))


@never_cache
@require_http_methods(["PUT", "DELETE"])
async def cart_line(request: HttpRequest, slug: str) -> HttpResponse:
    """PUT ``{"quantity": n}``: set the quantity. DELETE: remove the product. Both return the cart."""
    in_cart = Cart(request.session)
    quantity = 0 if request.method == "DELETE" else parse_quantity(request.body)
    if quantity is None:
        return api_error(400, "bad_quantity", f'Send {{"quantity": n}} with n from 0 to {MAX_QUANTITY}.')
    if quantity and not await Product.objects.filter(slug=slug).aexists():
        return product_not_found()
    await in_cart.put(slug, quantity)
    return JsonResponse(cart_json(await in_cart.lines()))


# --- orders and the customer: signed in --------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@customer_required
async def orders(request: HttpRequest, customer: Customer) -> HttpResponse:
    """GET: ``{"orders": [...]}``. POST: order the contents of the cart.

    With ``{"reference": <UUID>}`` in the body, a repeated POST does not create a second order.
    """
    if request.method == "GET":
        own = Order.objects.filter(customer=customer).prefetch_related("lines__product")
        return JsonResponse({"orders": [order_json(each) async for each in own]})
    try:
        reference = uuid.UUID(parse_object(request.body).get("reference") or str(uuid.uuid4()))
    except (ValueError, TypeError, AttributeError):
        return api_error(400, "bad_reference", "The reference must be a UUID.")
    if await Order.objects.filter(customer=customer, reference=reference).aexists():
        placed, status = reference, 200
    else:
        lines = await Cart(request.session).lines()
        if not lines:
            return api_error(409, "empty_cart", "The cart is empty.")
        placed, status = (await sync_to_async(place_order)(customer, reference, lines)).reference, 201
        await Cart(request.session).clear()
    order = await Order.objects.prefetch_related("lines__product").aget(reference=placed)
    return JsonResponse(order_json(order), status=status, headers={"Location": order.get_absolute_url()})


@require_GET
@customer_required
async def me(request: HttpRequest, customer: Customer) -> HttpResponse:
    """The local customer, and the portal's identity of the session."""
    identity = await request.asso()
    return JsonResponse(
        {
            "id": customer.pk,
            "username": customer.username,
            "name": customer.name,
            "email": customer.email,
            "sub": str(identity.sub) if identity else None,
            "roles": sorted(identity.roles) if identity else [],
            "auth_time": identity.auth_time if identity else None,
            "amr": list(identity.amr) if identity else [],
        }
    )


# --- JSON --------------------------------------------------------------------------------------------


def product_json(product: Product) -> dict[str, Any]:
    return {
        "slug": product.slug,
        "name": product.name,
        "tagline": product.tagline,
        "description": product.description,
        "price_cents": product.price_cents,
        "currency": CURRENCY,
    }


def cart_json(lines: list[Line]) -> dict[str, Any]:
    return {
        "lines": [
            {
                "product": line.product.slug,
                "name": line.product.name,
                "quantity": line.quantity,
                "unit_cents": line.product.price_cents,
                "total_cents": line.total_cents,
            }
            for line in lines
        ],
        "count": sum(line.quantity for line in lines),
        "total_cents": total_cents(lines),
        "currency": CURRENCY,
    }


def order_json(order: Order) -> dict[str, Any]:
    return {
        "reference": str(order.reference),
        "placed_at": order.placed_at.isoformat(),
        "lines": [
            {
                "product": line.product.slug,
                "name": line.product.name,
                "quantity": line.quantity,
                "unit_cents": line.unit_cents,
                "total_cents": line.total_cents,
            }
            for line in order.lines.all()
        ],
        "total_cents": order.total_cents,
        "currency": CURRENCY,
    }


def product_not_found() -> JsonResponse:
    return api_error(404, "not_found", "Product not found.")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object. An empty body is an empty object. Raises ``ValueError``."""
    try:
        value = json.loads(body or b"{}")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the caller sent a wrong value, not a wrong type
    return value


def parse_quantity(body: bytes) -> int | None:
    try:
        value = parse_object(body).get("quantity")
    except ValueError:
        return None
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_QUANTITY
        else None
    )
