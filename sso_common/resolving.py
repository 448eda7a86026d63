"""A session that finds out who is signed in, from what the browser presented.

``sessions.SessionStore`` adds Django's session contract to it.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase

from . import conf, flows, idle, store
from .admission import require_admission
from .adoption import LOCAL_SINCE, OVERRIDDEN_SID, adoptable
from .exceptions import NoIdentity, SSOError, StoreUnavailable, Untrusted
from .fields import Fields, Stored, decode_fields, encode_fields
from .flows import Commands, Flow, both
from .identity import Identity, verify_identity
from .tokens import SessionToken

logger = logging.getLogger("sso_common.session")
security_logger = logging.getLogger("django.security.sso")

T = TypeVar("T")


class ResolvingSession(SessionBase):
    """The session of one visitor at this site.

    It has three states. *Unresolved*: a token was presented and has not been looked up yet. *Signed
    in*: the token opened an identity record; ``session_key`` is the public ``sid``. *Anonymous*:
    ``session_key`` is the secret in the site's own host-only cookie.
    """

    #: Set once the store could not answer in this request: the response becomes a 503.
    unavailable: StoreUnavailable | None = None
    #: Why no user is signed in.
    refusal: SSOError | None = None
    #: Called when a signed-in session is opened at this site for the first time.
    on_first_visit: Callable[[], None] | None = None
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
        if self._ttl < 0 and self.on_first_visit is not None:
            self.on_first_visit()
        self._session_key = token.sid
        if hasattr(self, "_session_cache"):
            return  # cleared before the first read: a save replaces everything
        if anonymous_key is not None and stored.anonymous:
            yield from self._open_and_adopt(token.sid, anonymous_key, stored.fields)
        else:
            self.is_cookie_stale = anonymous_key is not None
            self._set_data(stored.fields)

    def _open(self, anonymous: Fields) -> None:
        self._set_data(anonymous)
        if not anonymous:
            # The key was not issued by this site, or it has expired. Using it would be session
            # fixation (Django ticket 19324).
            self._session_key = None

    def _set_data(self, fields: Fields) -> None:
        data = decode_fields(fields, self.serializer())
        self._stored = Stored(fields, data)
        self._session_cache = dict(data)

    def _open_and_adopt(self, sid: str, anonymous_key: str, fields: Fields) -> Flow[None]:
        claimed = yield from store.claim_anonymous(sid, anonymous_key)
        adoption = store.Adoption.MOVED_BEFORE
        if claimed:
            anonymous, data = (decode_fields(each, self.serializer()) for each in (claimed, fields))
            chosen: dict[str, Any] = {}
            if SESSION_KEY not in anonymous:  # an older local login: its data belongs to another user
                chosen = yield functools.partial(conf.adopt_session(), adoptable(anonymous), dict(data))
            encoded = encode_fields(chosen, self.serializer())
            adoption = yield from store.adopt_anonymous(sid, anonymous_key, encoded)
        # None: another signed-in session is adopting it.
        self.is_cookie_stale = claimed is not None and adoption is not store.Adoption.ENDED
        if adoption is store.Adoption.MOVED:
            self._stored = Stored({**encoded, **fields}, data)
            self._session_cache = {**chosen, **data}
        else:
            # Another request may have changed what this one has read.
            self._set_data((yield from store.read_session(sid)).fields)

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
            self[OVERRIDDEN_SID] = identity.sid
        self[LOCAL_SINCE] = int(time.time())

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
