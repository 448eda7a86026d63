"""Placing an order."""

import uuid

from django.core.exceptions import PermissionDenied
from django.db import transaction

from site_b.customers.models import Customer

from .cart import Line, total_cents
from .models import Order, OrderLine


@transaction.atomic
def place_order(customer: Customer, reference: uuid.UUID, lines: list[Line]) -> Order:
    """Create the order, or return the existing one with the same reference.

    Raises ``PermissionDenied`` if the reference belongs to another customer's order.
    """
    order, is_new = Order.objects.get_or_create(
        reference=reference, defaults={"customer": customer, "total_cents": total_cents(lines)}
    )
    if order.customer_id != customer.pk:
        raise PermissionDenied
    if is_new:
        OrderLine.objects.bulk_create(
            OrderLine(
                order=order, product=line.product, unit_cents=line.product.price_cents, quantity=line.quantity
            )
            for line in lines
        )
    return order
