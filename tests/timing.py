"""Time limits that hold on a busy machine: ``tries_within`` for promises, ``WAIT`` for everything else."""

from __future__ import annotations

import time
from collections.abc import Iterator

#: Seconds after which a test gives up on something that must happen. It passes as soon as that happens.
WAIT = 60.0


class Try:
    """Measures the ``with`` block that it guards."""

    seconds = 0.0

    def __enter__(self) -> Try:
        self._began = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.monotonic() - self._began


def tries_within(limit: float, *, count: int = 4, pause: float = 0.0) -> Iterator[Try]:
    """Repeat an action until one try takes less than ``limit`` seconds; fail after ``count`` tries.

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
    for number in range(count):
        if number:
            time.sleep(pause)
        attempt = Try()
        yield attempt
        if attempt.seconds < limit:
            return
        durations.append(f"{attempt.seconds:.2f} s")
    raise AssertionError(f"Longer than {limit} s in every try: {', '.join(durations)}.")
