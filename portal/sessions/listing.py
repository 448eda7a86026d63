"""Lists a user's sessions."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from sso_common import store

from . import records
from .ending import end_rows
from .models import EndReason, Session


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A live session, for its user's list."""

    row: Session
    #: To the minute: the idle timeout is not extended more often.
    last_used: datetime.datetime
    is_current: bool


def live_sessions(user: Any, current_sid: str | None = None) -> list[LiveSession]:
    """Return a user's live sessions, the current one first. Raises ``StoreUnavailable``."""
    rows = {row.sid: row for row in Session.objects.live().filter(user=user)}
    left = store.run(records.times_to_live(list(rows))) if rows else {}
    end_rows(rows.keys() - left.keys(), EndReason.EXPIRED)
    now = timezone.now()
    sessions = []
    for sid, milliseconds in left.items():
        row = rows[sid]
        last_used = now + datetime.timedelta(milliseconds=milliseconds) - datetime.timedelta(seconds=row.idle)
        sessions.append(LiveSession(row, max(last_used, row.auth_time), sid == current_sid))
    return sorted(sessions, key=lambda each: (each.is_current, each.last_used), reverse=True)
