"""The helper for time limits forgives a busy machine and catches code that waits too long."""

from __future__ import annotations

import time

import pytest

from tests.timing import TRIES, tries_within


def test_one_slow_try_is_forgiven() -> None:
    durations = iter([0.3, 0.0])

    for attempt in tries_within(0.2):
        with attempt:
            time.sleep(next(durations))

    assert not list(durations)


def test_code_that_is_always_too_slow_fails() -> None:
    tries = 0

    with pytest.raises(AssertionError, match="in every try"):  # noqa: PT012  the loop raises
        for attempt in tries_within(0.01):
            tries += 1
            with attempt:
                time.sleep(0.02)

    assert tries == TRIES
