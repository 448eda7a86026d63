"""The session engine: ``SESSION_ENGINE = "sso_common.sessions"``.

In: a session token (signed in) or a session key (anonymous), or both. Out: Django's session
contract over the shared store, and the verified ``Identity``. Made by the middleware for each
request; nothing is read until somebody looks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.utils.crypto import get_random_string

from . import conf, store
from .exceptions import (
    NoIdentity,
    NotAdmitted,
    SessionRevoked,
    SSOError,
    StoreUnavailable,
    Untrusted,
    UserInactive,
)
from .identity import Identity, verify_identity
from .tokens import SessionToken

logger = logging.getLogger("sso_common.session")
security_logger = logging.getLogger("django.security.sso")

P = ParamSpec("P")
T = TypeVar("T")

KEY_LENGTH: Final = 40

#: Never adopted: whoever planted an anonymous session must not thereby choose who is signed in
#: locally, the CSRF secret, or the expiry of the session that it is adopted into.
NEVER_ADOPTED: Final = frozenset(
    {SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, "_csrftoken", "_session_expiry"}
)


def adopt(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    """The default of ``SSO_ADOPT_SESSION``: which anonymous data moves into a signed-in session.

    Takes the two sessions' data and returns what to add: here, all of the anonymous data that
    the signed-in session has no value for.
    """
    return {name: value for name, value in anonymous.items() if name not in signed_in}


class SessionStore(SessionBase):
    """One visitor's session at this site.

    Three states. *Unresolved*: a token was presented and the store has not been asked yet.
    *Signed in*: the token opened an identity record; ``session_key`` is the public ``sid``.
    *Anonymous*: ``session_key`` is the secret behind the site's own host-only cookie.
    """

    #: Set once this request has met a store that cannot answer: the response becomes a 503.
    unavailable: StoreUnavailable | None = None
    #: Why nobody is signed in, where nobody is.
    refusal: SSOError | None = None
    #: True once the anonymous session was adopted or is gone, so that its cookie can go, too.
    is_cookie_stale = False

    def __init__(
        self,
        session_key: str | None = None,
        *,
        token: SessionToken | None = None,
        refusal: SSOError | None = None,
    ) -> None:
        super().__init__(session_key)
        #: The name of the session that the browser asked for, whether its token opened it or not.
        self.presented_sid = None if token is None else token.sid
        self._unresolved = token
        self._token: SessionToken | None = None
        self._identity: Identity | None = None
        #: What the token opened, also where this site does not admit its subject.
        self._verified: Identity | None = None
        self._ttl = 0
        self._first_seen = False
        #: Encoded values as they are known to be stored; None where that is not known, so that
        #: a save has to replace everything.
        self._stored: dict[bytes, bytes] | None = None
        #: What they were decoded to.
        self._loaded: Mapping[str, Any] = {}
        if refusal is not None:
            self.refuse(refusal)

    # --- who is signed in ---------------------------------------------------------------------

    @property
    def token(self) -> SessionToken | None:
        """The session token that opened this session, or None."""
        self.resolve()
        return self._token

    @property
    def identity(self) -> Identity | None:
        """The verified identity, or None. The first look is one round trip."""
        self.accessed = True
        self.resolve()
        return self.known_identity

    @property
    def known_identity(self) -> Identity | None:
        """The identity as far as it is known without a look into the store.

        None, too, once this site has refused its user (deactivated, or all sessions ended).
        """
        return self._identity if self.refusal is None else None

    @property
    def is_resolved(self) -> bool:
        """Whether it is known who is signed in, without a look into the store."""
        return self._unresolved is None

    def resolve(self) -> None:
        """Find out who is signed in, once. Raises ``StoreUnavailable``."""
        if self._unresolved is None:
            return
        token = self._unresolved
        stored = self._ask(store.read_session, token.sid, self._session_key)
        self._unresolved = None
        try:
            identity = self._verify(stored, token)
            self._require_admission(identity)
        except SSOError as refusal:
            self.refuse(refusal)
            if not hasattr(self, "_session_cache"):
                self._open_anonymous(stored.anonymous)
            return
        self._open_signed_in(token, identity, stored)

    def refuse(self, refusal: SSOError) -> None:
        """Note why nobody is signed in; what is untrusted is a security event."""
        self.refusal = refusal
        if isinstance(refusal, Untrusted):
            security_logger.warning("Not signed in: %s", refusal, extra={"reason": refusal.reason})
        else:
            logger.info("Not signed in: %s", refusal, extra={"reason": refusal.reason})

    def _verify(self, stored: store.StoredSession, token: SessionToken) -> Identity:
        if stored.record is None:
            raise NoIdentity
        self._verified = verify_identity(stored.record, token, conf.public_keys(), time.time())
        return self._verified

    def _require_admission(self, identity: Identity) -> None:
        if not identity.user.is_active:
            raise UserInactive(str(identity.sub))
        if identity.auth_time < identity.user.not_before:
            raise SessionRevoked(str(identity.sub))
        if not identity.is_admitted_to(conf.site()):
            raise NotAdmitted(str(identity.sub))

    def _open_signed_in(self, token: SessionToken, identity: Identity, stored: store.StoredSession) -> None:
        anonymous_key = self._session_key
        self._token, self._identity, self._ttl = token, identity, stored.ttl
        self._session_key = token.sid
        self._first_seen = not stored.fields
        if hasattr(self, "_session_cache"):
            return  # cleared before the first look: a save will replace everything
        self._open(stored.fields)
        if anonymous_key is not None:
            self.is_cookie_stale = not stored.anonymous or self._adopt(
                identity, anonymous_key, stored.anonymous
            )

    def _open_anonymous(self, fields: dict[bytes, bytes]) -> None:
        self._token = self._identity = None
        self._open(fields)
        if not fields:
            # An unknown key was never issued by this site, or has expired. Using it would be
            # session fixation (Django ticket 19324).
            self._session_key = None

    def _open(self, fields: dict[bytes, bytes]) -> None:
        self._session_cache = self._decode_fields(fields)
        self._stored, self._loaded = fields, dict(self._session_cache)

    def _adopt(self, identity: Identity, session_key: str, fields: Mapping[bytes, bytes]) -> bool:
        anonymous = {
            name: value for name, value in self._decode_fields(fields).items() if name not in NEVER_ADOPTED
        }
        chosen = conf.adopt_session()(anonymous, dict(self._session_cache))
        encoded = self._encode_fields(chosen)
        if not self._ask(store.adopt_anonymous, identity.sid, session_key, encoded):
            return False
        self._stored = {store.MARKER: b"", **encoded, **(self._stored or {})}
        self._session_cache = {**chosen, **self._session_cache}
        return True

    # --- the portal's two verbs; at a site nothing could sign the record that enter() needs ----

    def enter(self, token: SessionToken, identity: Identity) -> None:
        """Become the signed-in session that the portal has just issued.

        The data is kept, except for what ``NEVER_ADOPTED`` names; the anonymous key is not.
        """
        data = {k: v for k, v in self._get_session().items() if k not in NEVER_ADOPTED}
        if self._identity is not None and self._identity.sub != identity.sub:
            data = {}  # never hand one user's data to another
        old_key = None if self._identity is not None else self._session_key
        self._unresolved = None
        self.refusal = None
        self._token, self._identity = token, identity
        self._ttl = identity.idle * 1000
        self._session_key = token.sid
        self._session_cache, self._stored = data, None
        self.modified = True
        if old_key is not None:
            self.is_cookie_stale = True
            self._ask(store.delete_anonymous, old_key)

    def leave(self) -> None:
        """Become a new, empty, anonymous session, and touch nothing in the store."""
        self._unresolved = self._token = self._identity = self._verified = None
        self._session_key = None
        self._session_cache, self._stored = {}, {}

    def sign_out(self) -> None:
        """End the session everywhere. Does nothing where nobody is signed in by the portal.

        Whoever this site does not admit can sign out like anybody else. Raises ``StoreUnavailable``:
        nobody is told that they are signed out when they are not.
        """
        self.resolve()
        identity = self._identity or self._verified
        if identity is None:
            return
        self._ask(store.end_session, identity.sid, identity.sub)
        self._verified = None
        if self._identity is not None:
            self.leave()

    def has_local_login(self) -> bool:
        """Whether a local login is known of (``client.force_login``, a break-glass superuser). Asks
        the store nothing."""
        return SESSION_KEY in getattr(self, "_session_cache", {})

    # --- idle timeout ---------------------------------------------------------------------------

    def idle_extension(self) -> int | None:
        """Milliseconds to which the idle timeout is due to be extended, or None.

        Due once the time to live has fallen by ``SSO_TOUCH_INTERVAL``, or by half of an idle timeout
        that is shorter than that. Asks the store nothing.
        """
        identity = self.known_identity
        if identity is None:
            return None
        wanted = int(1000 * min(identity.idle, identity.exp - time.time()))
        due = 1000 * min(conf.touch_interval(), identity.idle / 2)
        return wanted if wanted - self._ttl >= due else None

    def is_first_seen(self) -> bool:
        """Whether this signed-in session has never left anything at this site."""
        return self.known_identity is not None and self._first_seen

    # --- Django's contract ----------------------------------------------------------------------

    @property
    def session_key(self) -> str | None:
        """The session's name: ``sid`` where signed in, else the anonymous key or None."""
        self.resolve()
        return self._session_key

    def is_empty(self) -> bool:
        """Whether there is neither a name nor data. As in Django, what has been presented counts
        until the store says otherwise."""
        return self._unresolved is None and super().is_empty()

    def settle(self) -> None:
        """Look, so that nothing that was merely presented counts any more. Raises
        ``StoreUnavailable``."""
        self.resolve()
        self._get_session()

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if self._unresolved is not None:
                self.resolve()
            elif self._session_key is None or no_load:
                self._session_cache, self._stored = {}, {}
            else:
                self._session_cache = self.load()
        return self._session_cache

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        must_ask = self._unresolved is not None or self._session_key is not None
        if must_ask and not no_load and not hasattr(self, "_session_cache"):
            return await _in_thread(self._get_session)()
        return self._get_session(no_load)

    _session = property(_get_session)

    async def aresolve(self) -> None:
        """``resolve`` for async code; no thread is used where nothing is to be asked."""
        if self._unresolved is not None:
            await _in_thread(self.resolve)()

    def load(self) -> dict[str, Any]:
        """The session's data as it is stored. What has been changed here and not been saved stays as
        it is. Raises ``StoreUnavailable``."""
        if not hasattr(self, "_session_cache") and self._unresolved is not None:
            self.resolve()
            return self._session_cache
        self.resolve()
        fields: dict[bytes, bytes] = {}
        if self._token is not None:
            fields = self._ask(store.read_session, self._token.sid).fields
        elif self._session_key is not None:
            fields = self._ask(store.read_anonymous, self._session_key)
            if not fields:
                self._session_key = None  # see _open_anonymous
        if hasattr(self, "_session_cache"):
            return self._decode_fields(fields)
        self._open(fields)
        return self._session_cache

    async def aload(self) -> dict[str, Any]:
        return await _in_thread(self.load)()

    def exists(self, session_key: str) -> bool:
        """Whether an anonymous session of this name exists. Raises ``StoreUnavailable``."""
        return bool(session_key) and self._ask(store.anonymous_exists, session_key)

    async def aexists(self, session_key: str) -> bool:
        return await _in_thread(self.exists)(session_key)

    def create(self) -> None:
        """Make an anonymous session with a new key, and save it.

        Where somebody is signed in, the portal has named the session and the name stays.
        """
        self.resolve()
        if self._token is not None:
            self.save()
            self.modified = True
            return
        while True:
            self._session_key = get_random_string(KEY_LENGTH)
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    async def acreate(self) -> None:
        await _in_thread(self.create)()

    def save(self, must_create: bool = False) -> None:
        """Write the keys that changed, and no others, in one atomic step.

        Raises ``UpdateError`` where the session has ended meanwhile, ``CreateError`` where
        ``must_create`` is set and it exists, and ``StoreUnavailable``.
        """
        self.resolve()
        # May find that there is no session of the name that was presented, and forget the name.
        data = self._get_session(no_load=must_create)
        if self._token is None and self._session_key is None:
            self.create()
            return
        encoded = self._encode_fields(data)
        # Nothing is stored under a new key.
        changes = self._changes(encoded, None if must_create else self._stored)
        if self._token is not None:
            saved = self._ask(store.save_site_session, self._token.sid, changes)
        else:
            saved = self._ask(
                store.save_anonymous,
                self._session_key,
                changes,
                self.get_expiry_age(),
                create=must_create,
            )
        if not saved:
            raise CreateError if must_create and self._token is None else UpdateError
        self._stored = {store.MARKER: b"", **encoded}

    async def asave(self, must_create: bool = False) -> None:
        await _in_thread(self.save)(must_create)

    def delete(self, session_key: str | None = None) -> None:
        """Delete a session of this site; by default, the current one.

        Signed in, this deletes the site's own data. It signs nobody out: see ``sign_out``.
        """
        self.resolve()
        if self._token is not None and session_key in (None, self._token.sid):
            self._ask(store.delete_site_session, self._token.sid)
            # A save after this has to write all, and not only what has changed since.
            self._stored = None
        elif key := self._session_key if session_key is None else session_key:
            self._ask(store.delete_anonymous, key)

    async def adelete(self, session_key: str | None = None) -> None:
        await _in_thread(self.delete)(session_key)

    def clear(self) -> None:
        super().clear()
        # What another request adds meanwhile goes, too: clear() means everything.
        self._stored = None

    def flush(self) -> None:
        """Drop this site's session data. Signed in, the session itself goes on: a site that
        flushes by mistake must not end everybody's sessions."""
        self.resolve()
        self.clear()
        self.delete()
        if self._token is None:
            self._session_key = None

    async def aflush(self) -> None:
        await _in_thread(self.flush)()

    def cycle_key(self) -> None:
        """Give an anonymous session a new key. A signed-in one was named anew by the portal at
        sign-in, and keeps its name."""
        self.resolve()
        if self._token is not None:
            self.modified = True
            return
        self._get_session()
        key = self._session_key
        self.create()
        if key:
            self.delete(key)

    async def acycle_key(self) -> None:
        await _in_thread(self.cycle_key)()

    @classmethod
    def clear_expired(cls) -> None:
        """Nothing to do: every key in Redis has its time to live."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Nothing to do: every key in Redis has its time to live."""

    # --- fields ---------------------------------------------------------------------------------

    def _changes(self, encoded: dict[bytes, bytes], stored: dict[bytes, bytes] | None) -> store.Changes:
        if stored is None:
            return store.Changes(put={store.MARKER: b"", **encoded}, replace=True)
        put = {name: value for name, value in encoded.items() if stored.get(name) != value}
        if store.MARKER not in stored:
            put[store.MARKER] = b""
        drop = stored.keys() - encoded.keys() - {store.MARKER}
        return store.Changes(put=put, drop=drop)

    def _encode_fields(self, data: Mapping[str, Any]) -> dict[bytes, bytes]:
        dumps = self.serializer().dumps
        unchanged = self._unchanged(data, dumps)
        return {
            _field_name(name): unchanged[name] if name in unchanged else dumps(value)
            for name, value in data.items()
        }

    def _unchanged(self, data: Mapping[str, Any], dumps: Callable[[Any], bytes]) -> dict[str, bytes]:
        """The encoded values, by name, of what nobody has changed since it was loaded; or of none.

        Values that are still the loaded objects may have been changed inside. To encode all of them as
        one list takes a fraction of the time for each by itself, and shows whether any was.
        """
        stored = self._stored or {}
        same = {
            name: stored[field]
            for name, value in self._loaded.items()
            if name in data
            and data[name] is value
            and (field := name.encode("utf-8", "surrogatepass")) in stored
        }
        is_unchanged = dumps([data[name] for name in same]) == b"[%s]" % b",".join(same.values())
        return same if is_unchanged else {}

    def _decode_fields(self, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
        data = dict(fields)
        data.pop(store.MARKER, None)
        try:
            # One JSON list is decoded several times faster than its items one by one.
            values = self.serializer().loads(b"[%s]" % b",".join(data.values()))
            return dict(zip(map(bytes.decode, data), values, strict=True))
        except (ValueError, TypeError):
            return self._decode_one_by_one(data)

    def _decode_one_by_one(self, data: Mapping[bytes, bytes]) -> dict[str, Any]:
        # A serializer that knows no such list, a name that is no UTF-8; or the data is damaged.
        loads = self.serializer().loads
        try:
            return {_text_name(name): loads(value) for name, value in data.items()}
        except (ValueError, TypeError):
            # As in Django: an empty session, and a line in the security log.
            security_logger.warning("Session data corrupted")
            return {}

    def _ask(self, question: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Ask the store; once it was unavailable, it is so for the rest of the request, whose
        time is bounded thereby."""
        if self.unavailable is not None:
            raise self.unavailable
        try:
            return question(*arguments, **options)
        except StoreUnavailable as error:
            self.unavailable = error
            raise


def _field_name(name: Any) -> bytes:
    # What JSON makes of a key that is not text; Django's sessions have always done the same.
    if isinstance(name, bool):
        name = "true" if name else "false"
    elif name is None:
        name = "null"
    elif not isinstance(name, str | int | float):
        raise TypeError(f"A session key must be text, not {type(name).__name__}.")
    encoded = str(name).encode("utf-8", "surrogatepass")
    if encoded.startswith(b"\x00"):
        raise ValueError("A session key cannot start with a NUL.")
    return encoded


def _text_name(field: bytes) -> str:
    return field.decode("utf-8", "surrogatepass")


def _in_thread(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    return sync_to_async(function, thread_sensitive=False)


__all__ = ["CreateError", "SessionStore", "UpdateError", "adopt"]
