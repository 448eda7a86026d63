"""The ratio of two measurements that are taken in turns.

Single figures mean little on a busy machine. The two measurements of a pair are equally affected, so
their ratio is stable.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Ratio:
    """``ours / stock`` over many pairs. ``low`` and ``high`` are the median's 95 % bootstrap interval."""

    ours: float
    stock: float
    median: float
    low: float
    high: float
    first_quartile: float
    third_quartile: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Effort:
    """The largest number of pairs, and the time limit in seconds."""

    pairs: int
    seconds: float

    def turns(self) -> Iterator[int]:
        """Yield the number of each turn until a limit is reached, but at least four turns."""
        deadline = time.monotonic() + self.seconds
        for turn in range(self.pairs):
            if turn >= 4 and time.monotonic() > deadline:
                return
            yield turn


def compare(ours: Callable[[], float], stock: Callable[[], float], effort: Effort) -> Ratio:
    """Measure both in turns.

    Each callable takes one measurement and returns it. The one that goes first alternates.
    """
    measured = []
    for turn in effort.turns():
        if turn % 2:
            first = stock()
            measured.append((ours(), first))
        else:
            first = ours()
            measured.append((first, stock()))
    ratios = [one / other for one, other in measured]
    low, high = bootstrap(ratios)
    first_quartile, _, third_quartile = statistics.quantiles(ratios, n=4)
    return Ratio(
        ours=statistics.median(one for one, _ in measured),
        stock=statistics.median(other for _, other in measured),
        median=statistics.median(ratios),
        low=low,
        high=high,
        first_quartile=first_quartile,
        third_quartile=third_quartile,
        pairs=len(ratios),
    )


def bootstrap(ratios: list[float]) -> tuple[float, float]:
    """Return the interval that contains 95 % of the medians of random samples of the ratios."""
    dice = random.Random(len(ratios))  # the same result for the same ratios
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
