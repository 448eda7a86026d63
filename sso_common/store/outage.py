"""A server that let somebody wait in vain is not asked again for a moment.

In: what became of each attempt. Out: leave to try, or ``StoreUnavailable``. Called by ``store`` and
``cluster``.
"""

from __future__ import annotations

import time
from typing import Final

from sso_common.exceptions import StoreUnavailable


class Outage:
    """Remembers for a moment that Redis let a request wait in vain.

    Each request that waits holds a worker's thread. When every thread waits, pages that need no
    session wait, too; so after a time-out all but one request a ``PAUSE`` are refused at once. A
    refused connection costs no time and is not remembered.
    """

    #: Seconds.
    PAUSE: Final = 1.0

    def __init__(self) -> None:
        self._until = 0.0

    def check(self) -> None:
        """Return if it is worth asking, else raise ``StoreUnavailable``."""
        if self._until and time.monotonic() < self._until:
            raise StoreUnavailable("recent time-out")
        if self._until:
            self.begin()  # whoever comes while this one tries is refused

    def begin(self) -> None:
        """Redis let somebody wait in vain."""
        self._until = time.monotonic() + self.PAUSE

    def end(self) -> None:
        """Redis has answered."""
        self._until = 0.0
