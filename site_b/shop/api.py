"""The JSON API. Who is not signed in and needs to be gets 401, never a redirect.

It is for programs in a browser: the same cookies as the pages, and for whatever changes something the
CSRF token (``X-CSRFToken``), which ``GET /api/cart/`` hands out as a cookie. Money is in whole cents.
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

from .cart import MOST, Cart, Line, total_cents
from .errors import api_error
from .models import Order, Product
from .orders import place_order

CURRENCY = "EUR"

View = Callable[..., Awaitable[HttpResponse]]


def customer_required(view: View) -> View:
    """Hand the customer to the view as its second argument, or answer 401; 403 where the portal has
    signed somebody in whom it does not let in here."""

    @functools.wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        customer = await request.auser()
        if not customer.is_authenticated:
            if isinstance(request.session.refusal, NotAdmitted):
                return api_error(403, "not_admitted", "You are signed in, but you don't have access to this site.")
            return unauthorized(request.build_absolute_uri(reverse("sso:login")))
        return await view(request, customer, *args, **kwargs)

    return never_cache(guarded)


# --- what is sold: the same for everybody, no session ------------------------------------------------


@require_GET
async def products(request: HttpRequest) -> HttpResponse:
    """``{"products": [...]}``"""
    return JsonResponse({"products": [_product(each) async for each in Product.objects.all()]})


@require_GET
async def product(request: HttpRequest, slug: str) -> HttpResponse:
    """One product."""
    found = await Product.objects.filter(slug=slug).afirst()
    return _no_product() if found is None else JsonResponse(_product(found))


# --- the cart: everybody has one ---------------------------------------------------------------------


@never_cache
@ensure_csrf_cookie
@require_http_methods(["GET", "DELETE"])
async def cart(request: HttpRequest) -> HttpResponse:
    """GET: the cart. DELETE: empty it."""
    in_cart = Cart(request.session)
    if request.method == "DELETE":
        await in_cart.clear()
    return JsonResponse(_cart(await in_cart.lines()))


@never_cache
@require_http_methods(["PUT", "DELETE"])
async def cart_line(request: HttpRequest, slug: str) -> HttpResponse:
    """PUT ``{"quantity": n}``: have so many. DELETE: take it out. Both answer with the cart."""
    in_cart = Cart(request.session)
    quantity = 0 if request.method == "DELETE" else _quantity(request.body)
    if quantity is None:
        return api_error(400, "bad_quantity", f'Send {{"quantity": n}} with n from 0 to {MOST}.')
    if quantity and not await Product.objects.filter(slug=slug).aexists():
        return _no_product()
    await in_cart.put(slug, quantity)
    return JsonResponse(_cart(await in_cart.lines()))


# --- orders and oneself: for who is signed in --------------------------------------------------------


@require_http_methods(["GET", "POST"])
@customer_required
async def orders(request: HttpRequest, customer: Customer) -> HttpResponse:
    """GET: ``{"orders": [...]}``. POST: order what is in the cart; optional ``{"reference": <UUID>}``,
    with which a repeated call makes no second order."""
    if request.method == "GET":
        own = Order.objects.filter(customer=customer).prefetch_related("lines__product")
        return JsonResponse({"orders": [_order(each) async for each in own]})
    try:
        reference = uuid.UUID(_object(request.body).get("reference") or str(uuid.uuid4()))
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
    return JsonResponse(_order(order), status=status, headers={"Location": order.get_absolute_url()})


@require_GET
@customer_required
async def me(request: HttpRequest, customer: Customer) -> HttpResponse:
    """Who is signed in: the local customer, and what the portal says of the session."""
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


# --- shapes ------------------------------------------------------------------------------------------


def _product(product: Product) -> dict[str, Any]:
    return {
        "slug": product.slug,
        "name": product.name,
        "tagline": product.tagline,
        "description": product.description,
        "price_cents": product.price_cents,
        "currency": CURRENCY,
    }


def _cart(lines: list[Line]) -> dict[str, Any]:
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


def _order(order: Order) -> dict[str, Any]:
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


def _no_product() -> JsonResponse:
    return api_error(404, "not_found", "Product not found.")


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; of no body, an empty one. Raises ``ValueError``."""
    value = json.loads(body or b"{}")
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - what the caller sent is a value, not a type
    return value


def _quantity(body: bytes) -> int | None:
    try:
        value = _object(body).get("quantity")
    except ValueError:
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST else None
