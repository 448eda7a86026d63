"""The portal's session engine: ``sso_common``'s, which can also become a session that was just issued."""

from __future__ import annotations

from sso_common import sessions, store
from sso_common.adoption import adoptable
from sso_common.identity import Identity
from sso_common.tokens import SessionToken


class SessionStore(sessions.SessionStore):
    """``SESSION_ENGINE = "portal.sessions.engine"``."""

    def begin_local_login(self) -> None:
        """Do nothing: every login here is one at the portal, and ``enter`` follows."""

    def enter(self, token: SessionToken, identity: Identity) -> None:
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
        if anonymous_key is not None:
            self.is_cookie_stale = True
            self.run(store.delete_anonymous(anonymous_key))
