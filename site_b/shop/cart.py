"""The cart: what a visitor means to buy, kept in ``request.session``, signed in or not.

In: a session. Out: lines with products and sums. The views and the API both go through it.

Each product has a session key of its own (``cart:<slug>``), not all of them one dictionary: the
session store saves only the keys that changed, so two tabs that add two things add both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from .models import Product

PREFIX = "cart:"
MOST = 99


@dataclass(frozen=True, slots=True)
class Line:
    """So many of one product."""

    product: Product
    quantity: int

    @property
    def total_cents(self) -> int:
        """What the line costs."""
        return self.product.price_cents * self.quantity


def total_cents(lines: Iterable[Line]) -> int:
    """What all lines cost."""
    return sum(line.total_cents for line in lines)


class Cart:
    """The cart in one session."""

    def __init__(self, session: SessionBase) -> None:
        self._session = session

    async def quantities(self) -> dict[str, int]:
        """Slug -> quantity; what is not a sensible quantity is left out."""
        found: dict[str, Any] = {
            key.removeprefix(PREFIX): value
            for key, value in await self._session.aitems()
            if key.startswith(PREFIX)
        }
        return {slug: value for slug, value in found.items() if isinstance(value, int) and 0 < value <= MOST}

    async def count(self) -> int:
        """How many things are in it."""
        return sum((await self.quantities()).values())

    async def lines(self) -> list[Line]:
        """Its lines in the order of the shelf; products which are no longer sold are left out."""
        quantities = await self.quantities()
        if not quantities:
            return []
        return [
            Line(product, quantities[product.slug])
            async for product in Product.objects.filter(slug__in=quantities)
        ]

    async def put(self, slug: str, quantity: int) -> int:
        """Have so many of a product, 0 for none. Returns the quantity, which is at most ``MOST``."""
        quantity = min(quantity, MOST)
        if quantity > 0:
            await self._session.aset(PREFIX + slug, quantity)
            return quantity
        await self._session.apop(PREFIX + slug, None)
        return 0

    async def add(self, slug: str, quantity: int = 1) -> int:
        """Have so many more. Returns the quantity there is now."""
        return await self.put(slug, (await self.quantities()).get(slug, 0) + quantity)

    async def clear(self) -> None:
        """Empty it."""
        for key in [key for key in await self._session.akeys() if key.startswith(PREFIX)]:
            await self._session.apop(key, None)
