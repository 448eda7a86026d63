"""A cache of verified identity records, bounded by bytes: the size of records differs a hundredfold."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .identity import Identity, PublicKeys

#: Bytes of records. The identities that are made from them take about ten times as much memory.
LIMIT: Final = 4 * 1024 * 1024


class RecordCache:
    """Drops the records that were not used for the longest time."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self._identities: OrderedDict[tuple[bytes, PublicKeys], Identity] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, record: bytes, public_keys: PublicKeys) -> Identity | None:
        """The identity of a record that these keys have verified, or None."""
        key = (record, public_keys)
        identity = self._identities.get(key)
        if identity is not None:
            try:  # noqa: SIM105  contextlib.suppress costs as much as all the rest
                self._identities.move_to_end(key)
            except KeyError:  # another thread has just dropped it
                pass
        return identity

    def put(self, record: bytes, public_keys: PublicKeys, identity: Identity) -> None:
        """Remember a verified record."""
        with self._lock:
            if (record, public_keys) not in self._identities:
                self.size += len(record)
            self._identities[record, public_keys] = identity
            while self.size > self.limit:
                (dropped, _), _ = self._identities.popitem(last=False)
                self.size -= len(dropped)
