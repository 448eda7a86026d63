"""The portal's session engine: ``sso_common``'s, which can also start and end sessions."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from sso_common import sessions, store
from sso_common.adoption import adoptable
from sso_common.flows import Flow, both
from sso_common.identity import Identity
from sso_common.tokens import SessionToken

from . import records
from .ending import sign_out


class Issued(NamedTuple):
    """A session that a request has started. Its token goes into the SSO cookie."""

    token: SessionToken
    #: Seconds that the cookie lives; None until the browser is closed.
    max_age: int | None


class SessionStore(sessions.SessionStore):
    """``SESSION_ENGINE = "portal.sessions.engine"``."""

    issued: Issued | None = None
    #: The sid of a session that has ended. Its token must leave the SSO cookie.
    ended: str | None = None

    def begin_local_login(self) -> None:
        """Do nothing: every login here is one at the portal, and ``enter`` follows."""

    def enter(self, token: SessionToken, identity: Identity, max_age: int | None = None) -> None:
        """Become the signed-in session that the portal has just issued.

        The data is kept, except for keys that are never adopted, and unless it belongs to another user.
        """
        data = adoptable(self.load_data())
        if self._identity is not None and self._identity.sub != identity.sub:
            data = {}
        anonymous_key = self._session_key if self._identity is None else None
        self._unresolved = self.refusal = None
        self._token, self._identity = token, identity
        self._ttl = identity.idle * 1000
        self._session_key = token.sid
        self._session_cache, self._stored = data, None
        self.modified = True
        self.issued = Issued(token, max_age)
        if anonymous_key is not None:
            self.is_cookie_stale = True
            self.run(store.delete_anonymous(anonymous_key))

    def sign_out_flow(self) -> Flow[None]:
        """End the session everywhere, and in the portal's own books: its row, its index, the audit log."""
        yield from self.resolve_flow()
        identity = self._identity or self._verified
        if identity is None:
            return
        # The row first: if Redis does not answer, the row says what is left to do.
        yield partial(sign_out, identity.sid, identity.sub)
        yield from records.remove_from_index(identity.sid, identity.sub)
        yield from super().sign_out_flow()
        self.ended = identity.sid

    sign_out, asign_out = both(sign_out_flow)
