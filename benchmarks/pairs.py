"""Two ways of doing one thing, measured in turns, as a ratio.

In: two callables, each of which measures itself once. Out: a ``Ratio`` with its spread. The machine
is never quiet, so neither figure means much alone: a busy moment hits both of a pair, and the ratio
of a pair keeps.
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
    """``ours / stock``, over many pairs; ``low`` and ``high`` bound 95 % of its bootstrap."""

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
    """How long to measure: so many pairs, or fewer where the time is up before."""

    pairs: int
    seconds: float

    def turns(self) -> Iterator[int]:
        """The numbers of the turns; at least four."""
        deadline = time.monotonic() + self.seconds
        for turn in range(self.pairs):
            if turn >= 4 and time.monotonic() > deadline:
                return
            yield turn


def compare(ours: Callable[[], float], stock: Callable[[], float], effort: Effort) -> Ratio:
    """Measure both in turns; which goes first alternates, so that neither has the better place."""
    measured = []
    for turn in effort.turns():
        if turn % 2:
            first = stock()
            measured.append((ours(), first))
        else:
            first = ours()
            measured.append((first, stock()))
    ratios = [one / other for one, other in measured]
    low, high = _bootstrap(ratios)
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


def _bootstrap(ratios: list[float]) -> tuple[float, float]:
    """The interval that holds 95 % of the medians of samples drawn from the ratios."""
    dice = random.Random(len(ratios))  # the same answer for the same figures
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
