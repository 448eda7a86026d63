"""Re-signs live sessions: their users have changed, or sites, or the signing key."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from django.contrib.auth import get_user_model

from portal.batches import batches
from portal.keys import keyring
from portal.registry import access
from sso_common import store
from sso_common.exceptions import Untrusted
from sso_common.identity import Identity, verify_record

from . import records
from .models import Session
from .signing import sign_record

logger = logging.getLogger("portal.sessions")

#: A record that another process has replaced is read again. Each time, it has become newer.
ATTEMPTS: Final = 5


def resign(subs: Iterable[uuid.UUID]) -> int:
    """Re-sign the live sessions of users, with the users as they are now. Returns how many these are.

    A record is replaced only if it is the one that was read. So no session comes back and no newer record
    is overwritten. The time to live is not changed. Raises ``StoreUnavailable``.
    """
    return sum(resign_batch(batch) for batch in batches(subs))


def resign_all() -> int:
    """Re-sign all live sessions. Returns how many these are. Raises ``StoreUnavailable``."""
    return resign(Session.objects.live().subjects())


def count_by_kid() -> Counter[str]:
    """Count the live sessions by the key that has signed them. Raises ``StoreUnavailable``."""
    count: Counter[str] = Counter()
    for batch in batches(Session.objects.live().values_list("sid", flat=True)):
        found = store.run(records.read_records(batch))
        count.update(record.split(b".")[1].decode("ascii") for record in found.values())
    return count


def resign_batch(subs: Sequence[uuid.UUID]) -> int:
    """``resign`` for one batch of users."""
    pending = {sub: sids for sub, sids in store.run(records.indexed_sids(subs)).items() if sids}
    count = 0
    for _ in range(ATTEMPTS):
        if not pending:
            break
        # Records before users: a record is replaced only if no other process has replaced it since.
        found = store.run(records.read_records([sid for sids in pending.values() for sid in sids]))
        changes = fresh_records(pending, found)
        missed = store.run(records.replace_records(changes)) if changes else set()
        count += len(changes) - len(missed)
        pending = {sub: left for sub, sids in pending.items() if (left := [s for s in sids if s in missed])}
    return count


def fresh_records(
    sessions: dict[uuid.UUID, list[str]], found: dict[str, bytes]
) -> dict[str, tuple[bytes, bytes]]:
    """Return {sid: (old record, new record)} for sessions by subject."""
    users: dict[uuid.UUID, Any] = get_user_model().objects.in_bulk(list(sessions))
    sites = access.access_maps(users.values())
    changes = {}
    for sub, user in users.items():
        snapshot = user.to_snapshot()
        for sid in sessions[sub]:
            if sid in found and (identity := read_identity(found[sid])) is not None:
                fresh = replace(identity, iat=int(time.time()), user=snapshot, sites=sites[sub])
                changes[sid] = (found[sid], sign_record(fresh))
    return changes


def read_identity(record: bytes) -> Identity | None:
    """Return the identity in a record, or None if no site trusts the record."""
    try:
        return verify_record(record, keyring().public_keys)
    except Untrusted as error:
        # The key that signed it is retired, or is not ours.
        logger.warning("An identity record was not re-signed: %s", error)
        return None
