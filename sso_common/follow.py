"""Applies changes as they happen: ``sso_sync --follow``."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections

from . import conf, store
from .exceptions import SSOError, StoreUnavailable
from .sync import sync_mapping, sync_once
from .users import UpsertResult

logger = logging.getLogger("sso_common.sync")

#: Seconds: the longest pause between two attempts to reach the portal or the database.
MAX_PAUSE: Final = 30.0
#: Seconds that a first wait looks back for events. The clocks of two machines differ by less.
LOOK_BACK: Final = 60.0


def follow_feed(is_stopped: Callable[[], bool] = lambda: False) -> Iterator[UpsertResult]:
    """Apply changes until the process is stopped; yield each result that changed something.

    Reads the feed when an event arrives, and every ``SSO_POLL_INTERVAL`` seconds. ``is_stopped`` is for
    a signal whose exception was lost, as it is in ``__del__`` and in functions that SQLite calls.
    """
    attempts, events, is_mapped = Attempts("The feed"), Events(), False
    while not is_stopped():
        close_old_connections()
        try:
            result = sync_once()
            if not is_mapped:  # settings do not change while a process runs
                result += sync_mapping()
                is_mapped = True
        except (SSOError, DatabaseFailure) as error:
            if is_stopped():
                return
            attempts.failed(explain(error))
            # Django replaces a broken connection only once it is closed.
            connections.close_all()
            time.sleep(attempts.pause())
            continue
        attempts.succeeded()
        if result != UpsertResult(unchanged=result.unchanged):
            yield result
        if not is_stopped():
            events.wait()


class Events:
    """Waits for the events that the portal sends through Redis."""

    def __init__(self) -> None:
        self.attempts = Attempts("Redis")
        self.last = event_id(time.time() - LOOK_BACK)

    def wait(self) -> None:
        """Return when an event arrives, or when the next poll is due."""
        # Sites and processes must not all poll at the same moment.
        seconds = conf.poll_interval() * random.uniform(0.8, 1.2)  # noqa: S311
        earliest = event_id(time.time() - LOOK_BACK)
        try:
            event = store.wait_for_user_event(self.last, int(seconds * 1000))
        except StoreUnavailable as error:
            self.attempts.failed(f"{error}; polling every {conf.poll_interval()} s instead")
            time.sleep(seconds)
            self.last = earliest
        else:
            self.attempts.succeeded()
            self.last = event or max(self.last, earliest, key=order)


class Attempts:
    """Counts failed attempts in a row. Logs the first failure and the recovery, and nothing between."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = 0

    def failed(self, reason: str) -> None:
        self.failures += 1
        if self.failures == 1:
            logger.error("%s cannot be read: %s. Retrying.", self.name, reason)

    def succeeded(self) -> None:
        if self.failures:
            logger.warning("%s can be read again after %s attempts.", self.name, self.failures)
        self.failures = 0

    def pause(self) -> float:
        """Return seconds that double with each failure, at random, so that sites do not retry at once."""
        longest = min(MAX_PAUSE, 2.0 ** min(self.failures, 10) / 2)
        return random.uniform(longest / 2, longest)  # noqa: S311


def event_id(seconds: float) -> str:
    """Return the id that an event of this time has in the stream."""
    return f"{int(seconds * 1000)}-0"


def order(event: str) -> tuple[int, ...]:
    """Return a key that sorts event ids by time."""
    return tuple(int(part) for part in event.split("-"))


def explain(error: Exception) -> str:
    """Describe why the feed could not be applied."""
    return str(error) if isinstance(error, SSOError) else f"database error: {type(error).__name__}"
