"""A server that timed out is not sent anything for a second."""

from __future__ import annotations

import time
from typing import Final

from sso_common.exceptions import StoreUnavailable


class Outage:
    """Remembers for ``PAUSE`` seconds that a server timed out.

    Each request that waits occupies a worker thread. When all of them wait, so do pages that need no
    session. Therefore, after a time-out, only one request per ``PAUSE`` is sent; the others are refused at
    once. Refused connections cost no time and are not remembered.
    """

    #: Seconds.
    PAUSE: Final = 1.0

    def __init__(self) -> None:
        self._until = 0.0

    def check(self) -> None:
        """Return if a command may be sent now. Raises ``StoreUnavailable``."""
        if self._until and time.monotonic() < self._until:
            raise StoreUnavailable("recent time-out")
        if self._until:
            self.begin()  # refuse the others while this one tries

    def begin(self) -> None:
        """Note that the server timed out."""
        self._until = time.monotonic() + self.PAUSE

    def end(self) -> None:
        """Note that the server answered."""
        self._until = 0.0
