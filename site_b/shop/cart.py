"""The cart of a visitor, signed in or not, kept in ``request.session``.

Each product has its own session key (``cart:<slug>``). The session store saves only keys that have
changed, so products that are added in two tabs at the same time are both saved. With one dictionary for
the whole cart, one of them would be lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from .models import Product

PREFIX = "cart:"
MAX_QUANTITY = 99


@dataclass(frozen=True, slots=True)
class Line:
    """A product and its quantity."""

    product: Product
    quantity: int

    @property
    def total_cents(self) -> int:
        """The price of the line."""
        return self.product.price_cents * self.quantity


def total_cents(lines: Iterable[Line]) -> int:
    """The price of all lines."""
    return sum(line.total_cents for line in lines)


class Cart:
    """The cart in a session."""

    def __init__(self, session: SessionBase) -> None:
        self._session = session

    async def quantities(self) -> dict[str, int]:
        """Slug -> quantity. Invalid quantities are left out."""
        found: dict[str, Any] = {
            key.removeprefix(PREFIX): value
            for key, value in await self._session.aitems()
            if key.startswith(PREFIX)
        }
        return {
            slug: value
            for slug, value in found.items()
            if isinstance(value, int) and 0 < value <= MAX_QUANTITY
        }

    async def count(self) -> int:
        """The number of items."""
        return sum((await self.quantities()).values())

    async def lines(self) -> list[Line]:
        """The lines, in the order of the product list. Products that are no longer sold are left out."""
        quantities = await self.quantities()
        if not quantities:
            return []
        return [
            Line(product, quantities[product.slug])
            async for product in Product.objects.filter(slug__in=quantities)
        ]

    async def put(self, slug: str, quantity: int) -> None:
        """Set the quantity of a product, at most ``MAX_QUANTITY``. 0 removes the product."""
        if quantity > 0:
            await self._session.aset(PREFIX + slug, min(quantity, MAX_QUANTITY))
        else:
            await self._session.apop(PREFIX + slug, None)

    async def add(self, slug: str, quantity: int = 1) -> None:
        """Add to the quantity of a product."""
        await self.put(slug, (await self.quantities()).get(slug, 0) + quantity)

    async def clear(self) -> None:
        """Remove all products."""
        for key in [key for key in await self._session.akeys() if key.startswith(PREFIX)]:
            await self._session.apop(key, None)
