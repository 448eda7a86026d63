"""Gives a browser back a cookie that it lacks, without a sign-in. Only the hop (``views.enter``) does this.

A browser can lose the SSO cookie although its session goes on: the late answer of an earlier sign-out deletes
it, a sibling host overwrites it, or the browser evicts it.
"""

from __future__ import annotations

import time

from portal.keys import keyring
from sso_common import store
from sso_common.admission import require_current
from sso_common.exceptions import NoIdentity, SSOError
from sso_common.identity import Identity, verify_identity
from sso_common.tokens import SessionToken, mint_token

from . import records
from .engine import NewCookies, SessionStore
from .models import Session
from .portal_cookie import sso_token


def restore(session: SessionStore) -> bool:
    """Set the cookie that this browser lacks. Returns whether the response will.

    Nothing is restored to a session that has ended: both its row and its record must be live. Raises
    ``StoreUnavailable``.
    """
    if session.identity is not None:
        return False
    if session.portal_row is not None and session.portal_token is not None:
        session.new_cookies = lost_sso_cookie(session.portal_row, sso_token(session.portal_token))
    elif session.identity_at_sites is not None:
        session.new_cookies = first_portal_cookie(session.identity_at_sites)
    return session.new_cookies is not None


def lost_sso_cookie(row: Session, token: SessionToken) -> NewCookies | None:
    """The SSO cookie of the session that the portal's own cookie opens."""
    record = store.run(records.read_records([row.sid])).get(row.sid)
    try:
        if record is None:
            raise NoIdentity
        identity = verify_identity(record, token, keyring().public_keys, time.time())
        require_current(identity, is_active=row.user.is_active, not_before=row.user.not_before)
    except SSOError:
        return None
    return NewCookies(token=token, max_age=max_age(row, identity))


def first_portal_cookie(identity: Identity) -> NewCookies | None:
    """The portal's own cookie, for a session from before there was one.

    Here, the SSO cookie alone must do, and a compromised site can replay it. So this works once a session,
    and never for staff. The user must authenticate again before the password or the email address changes.
    """
    rows = Session.objects.live().filter(sid=identity.sid, portal_bind="")
    row = rows.filter(user__is_staff=False, user__is_superuser=False).first()
    portal_token = SessionToken(identity.sid, mint_token().secret)
    if row is None or not rows.update(portal_bind=portal_token.bind):
        return None
    store.run(store.delete_site_session(identity.sid))  # allauth keeps there when the user has authenticated
    return NewCookies(portal_token=portal_token, max_age=max_age(row, identity))


def max_age(row: Session, identity: Identity) -> int | None:
    """Seconds that a session's cookies live; None until the browser is closed."""
    return identity.exp - int(time.time()) if row.remember else None
