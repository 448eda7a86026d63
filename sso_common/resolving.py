"""A session that finds out who is signed in, from what the browser presented.

``sessions.SessionStore`` adds Django's session contract to it.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from . import conf, store
from .admission import require_admission
from .adoption import OVERRIDDEN_SID, adoptable
from .exceptions import NoIdentity, SSOError, Unavailable, Untrusted
from .fields import Fields, Stored, decode_fields, encode_fields
from .flows import Flow, both
from .identity import Identity, verify_identity
from .idle import seconds_left
from .running import RunningSession
from .tokens import SessionToken

logger = logging.getLogger("sso_common.session")
security_logger = logging.getLogger("django.security.sso")


class ResolvingSession(RunningSession):
    """The session of one visitor at this site.

    It has three states. *Unresolved*: a token was presented and has not been looked up yet. *Signed
    in*: the token opened an identity record; ``session_key`` is the public ``sid``. *Anonymous*:
    ``session_key`` is the secret in the site's own host-only cookie.
    """

    #: Why no user is signed in.
    refusal: SSOError | None = None
    #: The token of a signed-in session over which a local login prevails in this request.
    overridden: SessionToken | None = None
    #: The local user of the identity, once that was looked for.
    user: Any = None
    #: Whether the anonymous session was adopted or is gone, so that its cookie can be deleted.
    is_cookie_stale = False
    #: Whether this site has announced the user who has signed in: see ``announcing``.
    is_announced = False

    def __init__(
        self,
        session_key: str | None = None,
        *,
        token: SessionToken | None = None,
        refusal: SSOError | None = None,
    ) -> None:
        super().__init__(session_key)
        #: The token in the browser's SSO cookie, whether or not it opened the session.
        self.presented = self._unresolved = token
        self._token: SessionToken | None = None
        self._identity: Identity | None = None
        #: What the token opened, even if the user has no access to this site or a local login prevails.
        self._verified: Identity | None = None
        #: Milliseconds until the identity record expires, unless a site extends it.
        self._ttl = 0
        #: What is known to be stored; None where nothing is known, so that a save replaces everything.
        self._stored: Stored | None = None
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
        emergency). A signed-in session never does. Reads nothing."""
        return self._token is None and SESSION_KEY in getattr(self, "_session_cache", {})

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
        if self._unresolved is not token:
            return  # resolved or signed out in the meantime
        try:
            identity = yield from self.verify_flow(token, stored.record)
        except Unavailable:
            raise
        except SSOError as refusal:
            if self._unresolved is token:
                self.refuse(refusal)
                if not hasattr(self, "_session_cache"):
                    self._open(stored.anonymous)
        else:
            yield from self._open_signed_in(token, identity, stored)
        # Only now, so that no other thread treats a half-open session as resolved.
        if self._unresolved is token:
            self._unresolved = None

    def resolve(self) -> None:
        """Find out who is signed in, once. Raises ``StoreUnavailable``."""
        if self._unresolved is not None:
            self.run(self.resolve_flow())

    async def aresolve(self) -> None:
        """``resolve`` for async code."""
        if self._unresolved is not None:
            await self.arun(self.resolve_flow())

    def verify_flow(self, token: SessionToken, record: bytes | None) -> Flow[Identity]:
        """Verify what the token opens, and that the user has access. The portal verifies more.

        Raises the reason why no user is signed in.
        """
        yield from ()  # at a site, there is nothing to wait for
        if record is None:
            raise NoIdentity
        dsn = conf.dsn()
        self._verified = identity = verify_identity(record, token, dsn.public_keys, time.time())
        require_admission(identity, dsn.site)
        return identity

    def _open_signed_in(
        self, token: SessionToken, identity: Identity, stored: store.StoredSession
    ) -> Flow[None]:
        is_cleared = hasattr(self, "_session_cache")  # before the first read: a save replaces everything
        anonymous = decode_fields(stored.anonymous, self.serializer()) if stored.anonymous else {}
        if SESSION_KEY in anonymous and anonymous.get(OVERRIDDEN_SID) == token.sid:
            if not is_cleared:  # a local login that is newer than this sign-in
                self._open(stored.anonymous)
                self.overridden = token
            return
        opened, is_stale = self._decode(stored.fields), self._session_key is not None
        if self._session_key is not None and stored.anonymous and not is_cleared:
            opened, is_stale = yield from self._adopt(identity, self._session_key, opened)
        if self._unresolved is not token:
            return  # while a function ran, another thread or coroutine has resolved it, or signed out
        # All at once: a hook that fails leaves the session unresolved.
        self._token, self._identity, self._ttl = token, identity, stored.ttl
        self._session_key = token.sid
        self.is_cookie_stale = is_stale
        self.is_announced = self.is_announced or store.ANNOUNCED in stored.fields
        if not is_cleared:
            self._set_data(opened)

    def _open(self, anonymous: Fields) -> None:
        self._set_data(self._decode(anonymous))
        if not anonymous:
            # The key was not issued by this site, or it has expired. Using it would be session
            # fixation (Django ticket 19324).
            self._session_key = None

    def _decode(self, fields: Fields) -> Stored:
        return Stored(fields, decode_fields(fields, self.serializer()))

    def _set_data(self, stored: Stored) -> None:
        self._stored = stored
        self._session_cache = dict(stored.values)
        if self._token is not None and SESSION_KEY in self._session_cache:
            # No login is ever read from a signed-in session, whatever has stored it there.
            for name in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
                self._session_cache.pop(name, None)

    def _adopt(self, identity: Identity, anonymous_key: str, opened: Stored) -> Flow[tuple[Stored, bool]]:
        """Adopt the anonymous session. Returns the data, and whether the anonymous session is gone."""
        sid = identity.sid
        claimed = yield from store.claim_anonymous(sid, anonymous_key)
        if claimed:
            chosen: dict[str, Any] = {}
            anonymous = decode_fields(claimed, self.serializer())
            # An older local login, or what its user sent as it ended, belongs to another user.
            if SESSION_KEY not in anonymous and OVERRIDDEN_SID not in anonymous:
                hook, data = conf.adopt_session(), dict(opened.values)
                chosen = yield functools.partial(hook, adoptable(anonymous), data)
            encoded = encode_fields(chosen, self.serializer())
            adoption = yield from store.adopt_anonymous(sid, anonymous_key, encoded, seconds_left(identity))
            if adoption is store.Adoption.MOVED:
                return Stored({**encoded, **opened.fields}, {**chosen, **opened.values}), True
            if adoption is store.Adoption.ENDED:
                return opened, False
        # Another request of this session has adopted it and may have changed the data since; or (None)
        # another signed-in session is adopting it.
        return self._decode((yield from store.read_session(sid)).fields), claimed is not None

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
        self.user = self.overridden = None
        self._session_key = None
        self.is_cookie_stale = False
        self._session_cache, self._stored = {}, Stored({})
