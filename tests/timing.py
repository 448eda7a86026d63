"""Time limits that hold on a busy machine: ``tries_within`` for promises, ``until`` for everything else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import redis

#: Seconds after which a test gives up on something that must happen. It passes as soon as that happens.
WAIT = 60.0
#: How often ``tries_within`` tries.
TRIES = 4


def until(is_so: Callable[[], object], *, every: float = 0.02) -> None:
    """Return as soon as ``is_so()`` is true. An error of Redis counts as "not yet"."""
    deadline = time.monotonic() + WAIT
    while True:
        with contextlib.suppress(redis.RedisError):
            if is_so():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"Not so within {WAIT:.0f} s.")
        time.sleep(every)


class Try:
    """Measures the ``with`` block that it guards."""

    seconds = 0.0

    def __enter__(self) -> Try:
        self._began = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.monotonic() - self._began


def tries_within(limit: float, *, pause: float = 0.0) -> Iterator[Try]:
    """Repeat an action until one try takes less than ``limit`` seconds; fail after ``TRIES``.

    Other processes only ever add to a duration: code that keeps its limit keeps it in one try of a few on
    any machine, and code that waits too long exceeds it in every try. Each try must start from the same
    state, so the loop's body undoes what the try before has changed; ``pause`` sleeps between two tries.

        for attempt in tries_within(1.5):
            store.outage.end()
            with attempt:
                response = client.get("/")
            assert response.status_code == 503
    """
    durations = []
    for number in range(TRIES):
        if number:
            time.sleep(pause)
        attempt = Try()
        yield attempt
        if attempt.seconds < limit:
            return
        durations.append(f"{attempt.seconds:.2f} s")
    raise AssertionError(f"Longer than {limit} s in every try: {', '.join(durations)}.")
