"""The session engine: ``SESSION_ENGINE = "sso_common.sessions"``.

The middleware makes a ``SessionStore`` for each request, from a session token (signed in), a session key
(anonymous), or both. It implements Django's session contract over the shared store, and knows the verified
``Identity``. It reads nothing until a view does.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.utils.crypto import get_random_string

from . import conf, flows, idle, store
from .admission import require_admission
from .adoption import OVERRIDDEN_SID, adoptable
from .exceptions import NoIdentity, SSOError, StoreUnavailable, Untrusted
from .fields import Stored, decode_fields, encode_fields, find_changes
from .flows import Commands, Flow
from .identity import Identity, verify_identity
from .tokens import SessionToken

__all__ = ["CreateError", "SessionStore", "UpdateError"]

logger = logging.getLogger("sso_common.session")
security_logger = logging.getLogger("django.security.sso")

P = ParamSpec("P")
T = TypeVar("T")

KEY_LENGTH: Final = 40


def both(
    flow: Callable[Concatenate[SessionStore, P], Flow[T]],
) -> tuple[
    Callable[Concatenate[SessionStore, P], T], Callable[Concatenate[SessionStore, P], Coroutine[Any, Any, T]]
]:
    """The sync and the async method that carry out a flow."""

    @functools.wraps(flow)
    def sync_method(self: SessionStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(flow(self, *args, **kwargs))

    @functools.wraps(flow)
    async def async_method(self: SessionStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.arun(flow(self, *args, **kwargs))

    return sync_method, async_method


class SessionStore(SessionBase):
    """The session of one visitor at this site.

    It has three states. *Unresolved*: a token was presented and has not been looked up yet. *Signed
    in*: the token opened an identity record; ``session_key`` is the public ``sid``. *Anonymous*:
    ``session_key`` is the secret in the site's own host-only cookie.
    """

    #: Set once the store could not answer in this request: the response becomes a 503.
    unavailable: StoreUnavailable | None = None
    #: Why no user is signed in.
    refusal: SSOError | None = None
    #: Whether the anonymous session was adopted or is gone, so that its cookie can be deleted.
    is_cookie_stale = False

    def __init__(
        self,
        session_key: str | None = None,
        *,
        token: SessionToken | None = None,
        refusal: SSOError | None = None,
    ) -> None:
        super().__init__(session_key)
        #: The sid in the browser's cookie, whether or not its token opened the session.
        self.presented_sid = None if token is None else token.sid
        self._unresolved = token
        self._token: SessionToken | None = None
        self._identity: Identity | None = None
        #: What the token opened, even if the user has no access to this site or a local login prevails.
        self._verified: Identity | None = None
        #: Milliseconds until this site's part of the session expires; negative where there is none.
        self._ttl = 0
        #: What is known to be stored; None where nothing is known, so that a save replaces everything.
        self._stored: Stored | None = None
        #: However many threads and coroutines of a request look at once, the first one resolves.
        self._lock = threading.RLock()
        if refusal is not None:
            self.refuse(refusal)

    # --- carrying out flows -------------------------------------------------------------------

    def run(self, flow: Flow[T]) -> T:
        """Carry out a flow of this request. Raises ``StoreUnavailable``.

        Once the store was unavailable, it stays so for the rest of the request. That bounds the
        request's time, and shows even where a view swallows the exception.
        """
        try:
            with self._lock:
                return flows.run(flow, self._ask)
        except StoreUnavailable as error:
            self.unavailable = self.unavailable or error
            raise

    async def arun(self, flow: Flow[T]) -> T:
        """``run`` for async code."""
        await self.aresolve()
        try:
            return await flows.arun(flow, self._ask)
        except StoreUnavailable as error:
            self.unavailable = self.unavailable or error
            raise

    def _ask(self, commands: Commands) -> list[Any]:
        if self.unavailable is not None:
            raise self.unavailable
        return store.ask(commands)

    # --- who is signed in ---------------------------------------------------------------------

    @property
    def token(self) -> SessionToken | None:
        """The session token that opened this session, or None."""
        self.resolve()
        return self._token

    @property
    def identity(self) -> Identity | None:
        """The verified identity, or None. The first access is one round trip."""
        self.accessed = True
        self.resolve()
        return self.known_identity

    @property
    def known_identity(self) -> Identity | None:
        """The identity if it is known without a round trip, or None.

        None as well once this site has refused the user (inactive, or all sessions ended).
        """
        return self._identity if self.refusal is None else None

    def has_local_login(self) -> bool:
        """Whether the loaded data contains a local login (``client.force_login``, a superuser in an
        emergency). Reads nothing."""
        return SESSION_KEY in getattr(self, "_session_cache", {})

    def refuse(self, refusal: SSOError) -> None:
        """Record why no user is signed in. Untrusted input is a security event."""
        self.refusal = refusal
        if isinstance(refusal, Untrusted):
            security_logger.warning("Not signed in: %s", refusal, extra={"reason": refusal.reason})
        else:
            logger.info("Not signed in: %s", refusal, extra={"reason": refusal.reason})

    def resolve_flow(self) -> Flow[None]:
        """``resolve``, as part of another flow."""
        token = self._unresolved
        if token is None:
            return
        stored = yield from store.read_session(token.sid, self._session_key)
        try:
            identity = self._verify(token, stored.record)
        except SSOError as refusal:
            self.refuse(refusal)
            if not hasattr(self, "_session_cache"):
                self._open(stored.anonymous)
        else:
            yield from self._open_signed_in(token, identity, stored)
        # Only now, so that no other thread takes a half-open session for resolved.
        self._unresolved = None

    def resolve(self) -> None:
        """Find out who is signed in, once. Raises ``StoreUnavailable``."""
        if self._unresolved is not None:
            self.run(self.resolve_flow())

    async def aresolve(self) -> None:
        """``resolve`` for async code. In a thread, so that the lock holds for coroutines, too."""
        if self._unresolved is not None:
            await sync_to_async(self.resolve, thread_sensitive=False)()

    def _verify(self, token: SessionToken, record: bytes | None) -> Identity:
        if record is None:
            raise NoIdentity
        dsn = conf.dsn()
        self._verified = identity = verify_identity(record, token, dsn.public_keys, time.time())
        require_admission(identity, dsn.site)
        return identity

    def _open_signed_in(
        self, token: SessionToken, identity: Identity, stored: store.StoredSession
    ) -> Flow[None]:
        anonymous_key, anonymous = self._session_key, {}
        if stored.anonymous:
            anonymous = decode_fields(stored.anonymous, self.serializer())
            if anonymous.get(OVERRIDDEN_SID) == token.sid:
                self._open(stored.anonymous)  # a local login that is newer than this sign-in
                return
        self._token, self._identity, self._ttl = token, identity, stored.ttl
        self._session_key = token.sid
        if hasattr(self, "_session_cache"):
            return  # cleared before the first read: a save replaces everything
        if anonymous_key is not None and SESSION_KEY in anonymous:
            # An older local login. Its data belongs to another user.
            yield from store.delete_anonymous(anonymous_key)
        elif anonymous_key is not None and stored.anonymous:
            yield from self._open_and_adopt(stored.fields, anonymous_key, anonymous)
            return
        self.is_cookie_stale = anonymous_key is not None
        self._set_data(stored.fields)

    def _open(self, anonymous: dict[bytes, bytes]) -> None:
        self._set_data(anonymous)
        if not anonymous:
            # The key was not issued by this site, or it has expired. Using it would be session
            # fixation (Django ticket 19324).
            self._session_key = None

    def _set_data(self, fields: dict[bytes, bytes]) -> None:
        data = decode_fields(fields, self.serializer())
        self._stored = Stored(fields, data)
        self._session_cache = dict(data)

    def _open_and_adopt(
        self, fields: dict[bytes, bytes], session_key: str, anonymous: dict[str, Any]
    ) -> Flow[None]:
        data = decode_fields(fields, self.serializer())
        chosen = yield functools.partial(conf.adopt_session(), adoptable(anonymous), dict(data))
        encoded = encode_fields(chosen, self.serializer())
        sid = self._session_key or ""
        self.is_cookie_stale = yield from store.adopt_anonymous(sid, session_key, encoded)
        if self.is_cookie_stale:
            self._stored = Stored({store.MARKER: b"", **encoded, **fields}, data)
            self._session_cache = {**chosen, **data}
        else:
            self._set_data(fields)

    # --- signing out --------------------------------------------------------------------------

    def sign_out_flow(self) -> Flow[None]:
        """End the session everywhere, if the portal has signed in a user here.

        Users without access to this site can sign out like all others. If this raises
        ``StoreUnavailable``, the user may still be signed in.
        """
        yield from self.resolve_flow()
        identity = self._identity or self._verified
        if identity is None:
            return
        yield from store.end_session(identity.sid, identity.sub)
        self._verified = None
        if self._identity is not None:
            self.leave()

    sign_out, asign_out = both(sign_out_flow)

    def leave(self) -> None:
        """Become a new, empty, anonymous session. Changes nothing in the store."""
        self._unresolved = self._token = self._identity = self._verified = None
        self._session_key = None
        self._session_cache, self._stored = {}, Stored({})

    # --- local logins -------------------------------------------------------------------------

    def begin_local_login(self) -> None:
        """Give a local login a session of its own.

        Otherwise it would be stored in the session of the user who signed in at the portal, and that
        user's cookie alone would open it. The local login prevails until the next sign-in at the portal.
        """
        identity = self.identity
        if identity is not None:
            self.leave()
            self._verified = identity  # logging out ends both
            super().__setitem__(OVERRIDDEN_SID, identity.sid)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == SESSION_KEY:
            self.begin_local_login()
        super().__setitem__(key, value)

    async def aset(self, key: str, value: Any) -> None:
        if key == SESSION_KEY:
            await self.aresolve()
            self.begin_local_login()
        await super().aset(key, value)

    # --- idle timeout -------------------------------------------------------------------------

    def due_extension(self) -> int | None:
        """Milliseconds to which the idle timeout is due to be extended, or None. Reads nothing."""
        identity = self.known_identity
        return None if identity is None else idle.due_extension(identity, self._ttl)

    def extend_flow(self) -> Flow[None]:
        """Extend the idle timeout if that is due. Raises ``StoreUnavailable``."""
        milliseconds = self.due_extension()
        if milliseconds is not None and self._token is not None:
            sid, is_first_visit = self._token.sid, self._ttl < 0
            yield from store.extend_session(sid, milliseconds, is_first_visit=is_first_visit)
            self._ttl = milliseconds

    # --- Django's contract --------------------------------------------------------------------

    @property
    def session_key(self) -> str | None:
        """The ``sid`` where a user is signed in, else the anonymous key or None."""
        self.resolve()
        return self._session_key

    def is_empty(self) -> bool:
        """Whether there is neither a key nor data. As in Django, a presented key counts until it was
        looked up."""
        return self._unresolved is None and super().is_empty()

    def open_flow(self, no_load: bool = False) -> Flow[dict[str, Any]]:
        """``load_data``, as part of another flow."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if self._unresolved is not None:
                yield from self.resolve_flow()
            elif self._session_key is None or no_load:
                self._session_cache, self._stored = {}, Stored({})
            else:
                yield from self.load_flow()
        return self._session_cache

    def load_data(self, no_load: bool = False) -> dict[str, Any]:
        """The data, read from the store at the first access."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self.run(self.open_flow(no_load) if self._unresolved is None else self.resolve_flow())
        return self._session_cache

    async def aload_data(self, no_load: bool = False) -> dict[str, Any]:
        """``load_data`` for async code."""
        if hasattr(self, "_session_cache") or (self._session_key is None and self._unresolved is None):
            return self.load_data(no_load)
        return await sync_to_async(self.load_data, thread_sensitive=False)(no_load)

    _get_session, _aget_session = load_data, aload_data  # Django's names
    _session = property(_get_session)

    def load_flow(self) -> Flow[dict[str, Any]]:
        """The data as it is stored. Unsaved changes in this object stay. Raises ``StoreUnavailable``."""
        if self._unresolved is not None and not hasattr(self, "_session_cache"):
            yield from self.resolve_flow()
            return self._session_cache
        yield from self.resolve_flow()
        fields: dict[bytes, bytes] = {}
        if self._token is not None:
            fields = (yield from store.read_session(self._token.sid)).fields
        elif self._session_key is not None:
            fields = yield from store.read_anonymous(self._session_key)
        if self._token is None and not fields:
            self._session_key = None  # see _open
        if hasattr(self, "_session_cache"):
            return decode_fields(fields, self.serializer())
        self._set_data(fields)
        return self._session_cache

    load, aload = both(load_flow)

    def exists_flow(self, session_key: str) -> Flow[bool]:
        """Whether an anonymous session with this key exists. Raises ``StoreUnavailable``."""
        return bool(session_key) and (yield from store.anonymous_exists(session_key))

    exists, aexists = both(exists_flow)

    def create_flow(self) -> Flow[None]:
        """Make an anonymous session with a new key, and save it.

        A signed-in session keeps the name that the portal gave it.
        """
        yield from self.resolve_flow()
        if self._token is not None:
            yield from self.save_flow()
        while self._token is None:
            self._session_key = get_random_string(KEY_LENGTH)
            try:
                yield from self.save_flow(must_create=True)
            except CreateError:
                continue
            break
        self.modified = True

    create, acreate = both(create_flow)

    def save_flow(self, must_create: bool = False) -> Flow[None]:
        """Write the keys that changed, and no others, in one atomic step.

        Raises ``UpdateError`` if the session has ended in the meantime, ``CreateError`` if
        ``must_create`` is set and the session exists, and ``StoreUnavailable``.
        """
        yield from self.resolve_flow()
        # May find that there is no session with the presented key, and forget the key.
        data = yield from self.open_flow(no_load=must_create)
        if self._token is None and self._session_key is None:
            yield from self.create_flow()
            return
        stored = None if must_create else self._stored
        encoded = encode_fields(data, self.serializer(), stored)
        changes = find_changes(encoded, stored)
        if self._token is not None:
            is_saved = yield from store.save_site_session(self._token.sid, changes)
        else:
            is_saved = yield from store.save_anonymous(
                self._session_key or "", changes, self.get_expiry_age(), create=must_create
            )
        if not is_saved:
            raise CreateError if must_create and self._token is None else UpdateError
        self._stored = Stored({store.MARKER: b"", **encoded}, dict(data))

    save, asave = both(save_flow)

    def delete_flow(self, session_key: str | None = None) -> Flow[None]:
        """Delete a session of this site; by default, the current one.

        Where a user is signed in, this deletes the site's own data. To sign out, see ``sign_out``.
        """
        yield from self.resolve_flow()
        if self._token is not None and session_key in (None, self._token.sid):
            yield from store.delete_site_session(self._token.sid)
            self._stored = None
        elif key := self._session_key if session_key is None else session_key:
            yield from store.delete_anonymous(key)

    delete, adelete = both(delete_flow)

    def clear(self) -> None:
        """Delete all data, including what another request adds in the meantime."""
        super().clear()
        self._stored = None

    def flush_flow(self) -> Flow[None]:
        """Delete this site's session data. A signed-in session itself goes on: a site that flushes by
        mistake must not sign users out everywhere."""
        yield from self.resolve_flow()
        self.clear()
        yield from self.delete_flow()
        if self._token is None:
            self._session_key = None

    flush, aflush = both(flush_flow)

    def cycle_key_flow(self) -> Flow[None]:
        """Give an anonymous session a new key. A signed-in session has had a new name since sign-in,
        and keeps it."""
        yield from self.resolve_flow()
        if self._token is not None:
            self.modified = True
            return
        yield from self.open_flow()
        key = self._session_key
        yield from self.create_flow()
        if key:
            yield from self.delete_flow(key)

    cycle_key, acycle_key = both(cycle_key_flow)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: every key in Redis has a time to live."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do nothing: see ``clear_expired``."""
