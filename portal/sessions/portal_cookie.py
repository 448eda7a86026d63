"""The portal's own cookie. Nothing at the portal opens without it.

Every site receives its visitors' SSO cookies, and a compromised one could replay them here. This cookie is
host-only, so no site ever receives it. Its value is a token for the same session, with a secret of its own.
The database has a hash of the secret (``Session.portal_bind``); Redis has nothing of it.

The secret of the SSO cookie is derived from this one. So the portal can set the SSO cookie again in a browser
that has lost it, with nothing stored, nothing rotated and no race between two tabs.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from sso_common.exceptions import MalformedToken
from sso_common.tokens import SessionToken, parse_token

NAME: Final = "__Host-portal"


def sso_token(portal_token: SessionToken) -> SessionToken:
    """Return the token of the SSO cookie that belongs to the portal's own cookie.

    HMAC-SHA256 with the portal's secret as the key: who knows one SSO cookie learns nothing of the other.
    """
    key = portal_token.secret.encode("ascii")
    digest = hmac.digest(key, b"sso cookie " + portal_token.sid.encode("ascii"), "sha256")
    return SessionToken(portal_token.sid, urlsafe_b64encode(digest)[:-1].decode("ascii"))


def take_token(request: HttpRequest) -> SessionToken | None:
    """Take the token out of a request's cookies, so that no view or error page shows it.

    A malformed one counts as none.
    """
    try:
        return parse_token(request.COOKIES.pop(NAME, ""))
    except MalformedToken:
        return None


def set_cookie(response: HttpResponseBase, portal_token: SessionToken, max_age: int | None) -> None:
    """Set the cookie. It is never deleted: that could delete the cookie of a newer sign-in, and that of a
    session that has ended opens nothing."""
    response.set_cookie(
        NAME, portal_token.value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax"
    )
