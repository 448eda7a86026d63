"""Reads the sign-outs that sites report in the stream of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sso_common import conf, store
from sso_common.flows import Flow
from sso_common.tokens import is_sid


class SignOut(NamedTuple):
    """A site, or the portal, has signed out a session."""

    sid: str
    #: As the event says. Any site can write any name.
    site: str


def read_sign_outs(last_id: str, count: int = 1000) -> Flow[tuple[list[SignOut], str]]:
    """Return the sign-outs after an event's id, and the id of the last event that was read.

    Sites write the events, and an attacker may control one of them. Events without a valid sid are left
    out.
    """
    entries = store.checked(
        (yield [("XRANGE", store.events_key(conf.dsn().namespace), f"({last_id}", "+", "COUNT", count)])
    )[0]
    found = (parse_event(fields) for _, fields in entries)
    newest = entries[-1][0].decode("ascii") if entries else last_id
    return [event for event in found if event is not None], newest


def parse_event(fields: Sequence[bytes]) -> SignOut | None:
    """Parse the fields of an event: a flat list of names and values."""
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    sid = values.get(b"sid", b"").decode("ascii", "replace")
    if values.get(b"type") != b"signed_out" or not is_sid(sid):
        return None
    # PostgreSQL refuses a NUL.
    return SignOut(sid, values.get(b"site", b"").decode("ascii", "replace").replace("\x00", ""))
