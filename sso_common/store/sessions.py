"""Reads and writes sessions. Each function is a flow: see ``sso_common.flows``.

Values are bytes that are already encoded. Every flow raises ``StoreUnavailable`` where Redis cannot
answer, and never returns an empty result instead.
"""

from __future__ import annotations

import enum
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from redis.exceptions import ResponseError

from sso_common import conf
from sso_common.flows import Command, Flow

from .connection import checked
from .events import event
from .names import ADOPTED, ANNOUNCED, anonymous_key, claim_key, identity_key, site_key
from .scripts import CLAIM, ONCE, SAVE_ANONYMOUS, SAVE_SITE_SESSION

logger = logging.getLogger("sso_common.store")


#: Longer than a request that adopts a session can take, the site's hook included.
CLAIM_SECONDS: Final = 60


class StoredSession(NamedTuple):
    """Everything that one round trip returns about a visitor."""

    #: The identity record as it is stored, or None.
    record: bytes | None
    #: Milliseconds until the record expires, unless a site extends it; negative if there is none.
    ttl: int
    #: The site session: encoded values by field name.
    fields: dict[bytes, bytes]
    #: The anonymous session; empty where there is none.
    anonymous: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a save changes: fields to set, fields to delete, and whether to delete all others."""

    put: Mapping[bytes, bytes]
    drop: Iterable[bytes] = ()
    replace: bool = False

    def arguments(self) -> Iterator[str | bytes | int]:
        """As the scripts read them."""
        yield int(self.replace)
        yield len(self.put)
        for name, value in self.put.items():
            yield name
            yield value
        yield from self.drop


# --- reading ---------------------------------------------------------------------------------


def read_session(sid: str, session_key: str | None = None) -> Flow[StoredSession]:
    """Read identity record, site session and, where a key is given, the anonymous session.

    One round trip. In a cluster, one to each of the two nodes that may hold them, concurrently.
    """
    dsn = conf.dsn()
    own = site_key(dsn.namespace, sid, dsn.site)
    identity = identity_key(dsn.namespace, sid)
    commands = [("GET", identity), ("PTTL", identity), ("HGETALL", own)]
    if session_key is not None:
        commands.append(("HGETALL", anonymous_key(dsn.namespace, dsn.site, session_key)))
    record, ttl, fields, *anonymous = checked((yield commands))
    return StoredSession(record, ttl, as_mapping(fields), as_mapping(anonymous[0]) if anonymous else {})


def read_anonymous(session_key: str) -> Flow[dict[bytes, bytes]]:
    """Read an anonymous session; empty where there is none."""
    answers = yield [("HGETALL", own_anonymous_key(session_key))]
    return as_mapping(checked(answers)[0])


def anonymous_exists(session_key: str) -> Flow[bool]:
    """Whether an anonymous session with this key exists."""
    answers = yield [("EXISTS", own_anonymous_key(session_key))]
    return bool(checked(answers)[0])


def as_mapping(answer: Any) -> dict[bytes, bytes]:
    """An answer to HGETALL: a mapping in RESP3, a flat list in RESP2."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


# --- writing ---------------------------------------------------------------------------------


def save_site_session(sid: str, changes: Changes, lifetime: float) -> Flow[bool]:
    """Apply changes to this site's session, atomically, while the identity record exists.

    The site session then expires in ``lifetime`` seconds. Returns False, and writes nothing, where the
    session has ended: a request in flight never brings it back.
    """
    arguments = changes.arguments()
    return bool((yield from SAVE_SITE_SESSION(own_key(sid), *terms(sid, lifetime), *arguments)))


def save_anonymous(session_key: str, changes: Changes, lifetime: float, *, create: bool) -> Flow[bool]:
    """Apply changes to an anonymous session, which then expires in ``lifetime`` seconds.

    Returns False, and writes nothing, where ``create`` is set and it exists, or the reverse, or while
    the session is being adopted.
    """
    key = own_anonymous_key(session_key)
    guard = f"{'create' if create else 'update'} {claim_key(key)}"
    return bool((yield from SAVE_ANONYMOUS(key, guard, int(lifetime * 1000), *changes.arguments())))


def claim_anonymous(sid: str, session_key: str) -> Flow[dict[bytes, bytes] | None]:
    """Begin to adopt an anonymous session, and read it; empty where there is none.

    From now on, saves to it are refused, so none is lost. The claim expires after ``CLAIM_SECONDS``:
    after a crash, the session can be used or adopted again. Returns None while another signed-in
    session has the claim.
    """
    key = own_anonymous_key(session_key)
    answer = yield from CLAIM(key, claim_key(key), sid, 1000 * CLAIM_SECONDS)
    return None if answer is None else as_mapping(answer)


class Adoption(enum.IntEnum):
    """What has become of an anonymous session."""

    #: Nothing: the signed-in session has ended.
    ENDED = 0
    MOVED = 1
    #: It had been adopted before; only the deletion was missing.
    MOVED_BEFORE = 2


def adopt_anonymous(
    sid: str, session_key: str, fields: Mapping[bytes, bytes], lifetime: float
) -> Flow[Adoption]:
    """Move fields of a claimed session into this site's session, once, then delete the former.

    A field that the site session has already keeps its value. A new site session expires in ``lifetime``
    seconds.
    """
    key = own_anonymous_key(session_key)
    flat = [part for field in fields.items() for part in field]
    answer = yield from ONCE(own_key(sid), *terms(sid, lifetime), adopted_field(key), *flat)
    adoption = Adoption(answer)
    if adoption is not Adoption.ENDED:
        checked((yield [("UNLINK", key), ("UNLINK", claim_key(key))]))
    return adoption


def adopted_field(anonymous_key: str) -> bytes:
    """The field that says that an anonymous session was adopted. Its key opens nothing."""
    return ADOPTED + hashlib.sha256(anonymous_key.encode()).hexdigest()[:16].encode()


def delete_site_session(sid: str) -> Flow[None]:
    """Delete this site's data in a session."""
    checked((yield [("UNLINK", own_key(sid))]))


def delete_anonymous(session_key: str) -> Flow[None]:
    """Delete an anonymous session."""
    checked((yield [("UNLINK", own_anonymous_key(session_key))]))


def end_session(sid: str, sub: object) -> Flow[None]:
    """Sign out everywhere: delete the identity record, and this site's data in the session.

    If this raises, the session may still be open, so do not tell the user otherwise.
    """
    # Two UNLINKs: the ACL allows each key by another selector, and a command needs one selector that
    # allows all of its keys.
    *unlinked, noted = yield [
        ("UNLINK", own_identity(sid)),
        ("UNLINK", own_key(sid)),
        event("signed_out", sid=sid, sub=sub),
    ]
    checked(unlinked)
    if isinstance(noted, ResponseError):
        # The session has ended nevertheless, which is what the user wanted.
        logger.error("A sign-out was not added to the stream of events: %s", type(noted).__name__)


def extend_session(sid: str, milliseconds: int) -> Flow[None]:
    """Extend a session's idle timeout. Never shortens it, and never brings a session back."""
    checked((yield [extension(sid, milliseconds)]))


def extension(sid: str, milliseconds: int) -> Command:
    return ("PEXPIRE", own_identity(sid), milliseconds, "GT")


def announce_once(sid: str, lifetime: float, milliseconds: int | None = None) -> Flow[bool]:
    """Note in this site's session that the site has announced its user. Returns whether this is new.

    A new site session expires in ``lifetime`` seconds. The idle timeout is extended to ``milliseconds`` in
    the same round trip.
    """
    ahead = [] if milliseconds is None else [extension(sid, milliseconds)]
    answer = yield from ONCE(own_key(sid), *terms(sid, lifetime), ANNOUNCED, ahead=ahead)
    return bool(answer == 1)


def forget_announcement(sid: str) -> Flow[None]:
    """Take ``announce_once`` back."""
    checked((yield [("HDEL", own_key(sid), ANNOUNCED)]))


def terms(sid: str, lifetime: float) -> tuple[str, int]:
    """On which a script writes a site session: while the identity exists, for so many milliseconds."""
    return own_identity(sid), int(lifetime * 1000)


def own_identity(sid: str) -> str:
    """The identity record of a session."""
    return identity_key(conf.dsn().namespace, sid)


def own_key(sid: str) -> str:
    """The data of this site in a signed-in session."""
    dsn = conf.dsn()
    return site_key(dsn.namespace, sid, dsn.site)


def own_anonymous_key(session_key: str) -> str:
    """An anonymous session of this site."""
    dsn = conf.dsn()
    return anonymous_key(dsn.namespace, dsn.site, session_key)
