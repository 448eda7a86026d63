"""Splits long lists, so that no statement or round trip grows without bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

BATCH: Final = 500


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield lists of at most ``BATCH`` items."""
    items = list(items)
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
