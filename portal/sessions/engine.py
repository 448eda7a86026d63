"""The portal's session engine: ``sso_common``'s, which can also start and end sessions."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any, NamedTuple

from sso_common import sessions, store
from sso_common.adoption import adoptable
from sso_common.database import reported_outage
from sso_common.exceptions import Absent
from sso_common.flows import Flow
from sso_common.identity import Identity
from sso_common.tokens import SessionToken

from . import records
from .ending import sign_out
from .issuing import Issued
from .models import Session


class AnotherBrowser(Absent):
    """The SSO cookie came without the portal's own cookie for the same session."""

    reason = "another-browser"


class NewCookies(NamedTuple):
    """What a response sets."""

    token: SessionToken | None = None
    portal_token: SessionToken | None = None
    #: In seconds; None until the browser is closed.
    max_age: int | None = None


class SessionStore(sessions.SessionStore):
    """``SESSION_ENGINE = "portal.sessions.engine"``."""

    #: The token in the portal's own cookie.
    portal_token: SessionToken | None = None
    new_cookies: NewCookies | None = None
    #: Whether the session of the SSO cookie has ended, so that the cookie can be deleted.
    is_over = False
    #: Every login here is one by ``login()``, which announces the user.
    is_announced = True

    def check_expiry(self, value: Any) -> None:
        """Do nothing: allauth sets 0 unless the user wants to be remembered, and so does the SSO cookie."""

    def begin_local_login_flow(self, user_key: str) -> Flow[None]:
        """Do nothing: every login here is one at the portal, and ``enter`` follows."""
        yield from ()

    @functools.cached_property
    def portal_row(self) -> Session | None:
        """The live session that the portal's own cookie opens, as the database has it."""
        if self.portal_token is None:
            return None
        return Session.objects.opened_by(self.portal_token).select_related("user").first()

    def verify_flow(self, token: SessionToken, record: bytes | None) -> Flow[Identity]:
        """As at a site; and the portal's own cookie must open the same session, live in the database.

        Every site receives its visitors' SSO cookies, and a compromised one could replay them here.
        """
        identity = yield from super().verify_flow(token, record)
        with reported_outage():
            row = yield partial(getattr, self, "portal_row")
        if row is None or row.sid != token.sid:
            raise AnotherBrowser(token.sid)
        return identity

    @property
    def identity_at_sites(self) -> Identity | None:
        """What the SSO cookie opens at the sites, although it opens nothing here."""
        self.resolve()
        return self._verified if isinstance(self.refusal, AnotherBrowser) else None

    def enter(self, issued: Issued) -> None:
        """Become the signed-in session that the portal has just issued.

        The data is kept, except for keys that are never adopted, and unless it belongs to another user.
        """
        token, identity = issued.token, issued.identity
        data = adoptable(self.load_data())
        if self._identity is not None and self._identity.sub != identity.sub:
            data = {}
        anonymous_key = self._session_key if self._identity is None else None
        self._unresolved = self.refusal = self.user = None
        self._token, self._identity = token, identity
        self._ttl = identity.idle * 1000
        self._session_key = token.sid
        self._session_cache, self._stored = data, None
        self.modified = True
        max_age = identity.exp - identity.auth_time if issued.remember else None
        self.new_cookies = NewCookies(token, issued.portal_token, max_age)
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
        self.is_over = True
