"""The pages of Shop.

All views are asynchronous. They load the user and the cart before they render a template, because
templates are synchronous and must not wait for I/O.
"""

import uuid
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from .cart import Cart, total_cents
from .forms import CheckoutForm, QuantityForm
from .models import Order, Product
from .orders import place_order


async def page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render a page with the layout, which shows the user and the number of items in the cart."""
    layout = {"shopper": await request.auser(), "cart_count": await Cart(request.session).count()}
    return render(request, template, {**layout, **context})


@require_GET
async def products(request: HttpRequest) -> HttpResponse:
    """The products."""
    return await page(
        request, "shop/products.html", {"products": [each async for each in Product.objects.all()]}
    )


@require_GET
async def product(request: HttpRequest, slug: str) -> HttpResponse:
    """A product."""
    found = await Product.objects.filter(slug=slug).afirst()
    if found is None:
        raise Http404
    return await page(request, "shop/product.html", {"product": found})


@require_GET
async def about(request: HttpRequest) -> HttpResponse:
    """The same page for all visitors: uses neither the session nor the user."""
    return render(request, "about.html")


@require_GET
async def cart(request: HttpRequest) -> HttpResponse:
    """The cart. It works without signing in."""
    lines = await Cart(request.session).lines()
    return await page(request, "shop/cart.html", {"lines": lines, "total_cents": total_cents(lines)})


@require_POST
async def cart_add(request: HttpRequest) -> HttpResponse:
    """Add a quantity of a product to the cart."""
    form = QuantityForm(request.POST)
    if not await sync_to_async(form.is_valid)():
        messages.error(request, _("That product could not be added to your cart."))
        return redirect("shop:products")
    chosen = form.cleaned_data["product"]
    await Cart(request.session).add(chosen.slug, form.cleaned_data["quantity"])
    messages.success(request, _("%(name)s was added to your cart.") % {"name": chosen.name})
    return redirect(chosen if request.POST.get("back") == "product" else "shop:products")


@require_POST
async def cart_change(request: HttpRequest) -> HttpResponse:
    """Set the quantity of a product in the cart."""
    form = QuantityForm(request.POST)
    if await sync_to_async(form.is_valid)():
        await Cart(request.session).put(form.cleaned_data["product"].slug, form.cleaned_data["quantity"])
    else:
        messages.error(request, _("Enter a quantity from 0 to 99."))
    return redirect("shop:cart")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
async def checkout(request: HttpRequest) -> HttpResponse:
    """Review the cart and place the order."""
    customer = await request.auser()
    in_cart = Cart(request.session)
    lines = await in_cart.lines()
    if request.method == "POST":
        form = CheckoutForm(request.POST)
        if form.is_valid():
            reference = form.cleaned_data["reference"]
            placed = await Order.objects.filter(reference=reference, customer=customer).afirst()
            if placed is None and lines:
                placed = await sync_to_async(place_order)(customer, reference, lines)
                await in_cart.clear()
                messages.success(request, _("Thank you! Your order has been placed."))
            if placed is not None:
                return redirect(placed)
    if not lines:
        messages.info(request, _("Add a product to your cart before you check out."))
        return redirect("shop:cart")
    form = CheckoutForm(initial={"reference": uuid.uuid4()})
    return await page(
        request, "shop/checkout.html", {"form": form, "lines": lines, "total_cents": total_cents(lines)}
    )


@login_required
@require_GET
async def orders(request: HttpRequest) -> HttpResponse:
    """The customer's own orders."""
    placed = Order.objects.filter(customer=await request.auser()).prefetch_related("lines__product")
    return await page(request, "shop/orders.html", {"orders": [each async for each in placed]})


@login_required
@require_GET
async def order(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    """One of the customer's own orders. Other customers' orders answer 404."""
    own = Order.objects.filter(customer=await request.auser(), reference=reference)
    found = await own.prefetch_related("lines__product").afirst()
    if found is None:
        raise Http404
    return await page(request, "shop/order.html", {"order": found})
