"""The idle timeout: a session that is used is extended, at most once in ``SSO_TOUCH_INTERVAL``."""

from __future__ import annotations

import time

from . import conf
from .identity import Identity


def due_extension(identity: Identity, ttl: int) -> int | None:
    """Milliseconds to which a session is due to be extended, or None.

    ``ttl``: milliseconds that the session has left. An extension is due once that has fallen by
    ``SSO_TOUCH_INTERVAL``, or by half of a shorter idle timeout. It never goes beyond the identity's
    expiry.
    """
    wanted = int(1000 * min(identity.idle, seconds_left(identity)))
    due = 1000 * min(conf.touch_interval(), identity.idle / 2)
    return wanted if wanted - ttl >= due else None


def seconds_left(identity: Identity) -> float:
    """Seconds until the identity's absolute expiry."""
    return identity.exp - time.time()
