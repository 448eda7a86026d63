"""The cookies: reads the SSO cookie, which only the portal sets; sets the site's own."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from . import conf
from .exceptions import ConflictingTokens, MalformedToken, SSOError
from .sessions import SessionStore
from .tokens import SessionToken, parse_token

security_logger = logging.getLogger("django.security.sso")

#: The page to which a login page has just sent a signed-in user, and how often in quick succession.
SENT_TO: Final = "__Host-sso-sent-to"
SENT_TO_SECONDS: Final = 10


def drop_disguised(request: HttpRequest) -> None:
    """Remove cookies with names that Django would strip to another name.

    A sibling host may not set a ``__Host-`` cookie, but a script can set U+2000 and the same name (Chromium
    156). Django would take that for the genuine one.
    """
    header = request.META.get("HTTP_COOKIE", "")
    if header.isascii() and header.isprintable():
        return
    sent = header.split(";")
    exact = [each for each in sent if not is_disguised(each.partition("=")[0])]
    if len(exact) < len(sent):
        security_logger.warning("Ignored a cookie with a name that is not exactly what Django takes it for")
        request.META["HTTP_COOKIE"] = ";".join(exact)
        request.__dict__.pop("COOKIES", None)  # Django parses the header again


def is_disguised(name: str) -> bool:
    """Whether Django would strip more of a cookie's name than the blanks that HTTP allows."""
    decoded = name.encode("latin-1", "replace").decode("utf-8", "replace")  # as WSGI requests have it
    return any(each.strip() != each.strip(" \t") for each in (name, decoded))


def take_token(request: HttpRequest) -> tuple[SessionToken | None, SSOError | None]:
    """Take the session token out of a request's cookies, or say why there is none.

    It is removed from ``request.COOKIES`` so that no view, error page or error mail shows it (Django's
    own filter hides the raw header). Two different SSO cookies mean that a sibling host has set one of
    its own. There is no way to tell which one is genuine, so neither is trusted.
    """
    name = conf.dsn().cookie_name
    value = request.COOKIES.pop(name, None)
    if value is None:
        return None, None
    values = {
        sent.strip()
        for key, _, sent in (part.partition("=") for part in request.META.get("HTTP_COOKIE", "").split(";"))
        if key.strip() == name
    }
    if len(values) > 1:
        return None, ConflictingTokens()
    try:
        return parse_token(value), None
    except MalformedToken as refusal:
        return None, refusal


def read_session_key(request: HttpRequest) -> str | None:
    """The key of the anonymous session, from the site's own cookie."""
    return request.COOKIES.get(settings.SESSION_COOKIE_NAME)


def set_session_cookie(response: HttpResponseBase, session: SessionStore) -> None:
    """Set the site's own cookie, for an anonymous session."""
    max_age = expires = None
    if not session.get_expire_at_browser_close():
        max_age = session.get_expiry_age()
        expires = http_date(time.time() + max_age)
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        session.session_key or "",
        max_age=max_age,
        expires=expires,
        path="/",
        domain=None,  # host-only, whatever SESSION_COOKIE_DOMAIN says
        secure=is_session_cookie_secure(),
        httponly=settings.SESSION_COOKIE_HTTPONLY,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def delete_session_cookie(response: HttpResponseBase) -> None:
    """Delete the site's own cookie."""
    name = settings.SESSION_COOKIE_NAME
    response.delete_cookie(name, samesite=settings.SESSION_COOKIE_SAMESITE)
    # Browsers ignore even the deletion of a __Host- cookie if it is not Secure.
    response.cookies[name]["secure"] = is_session_cookie_secure()


def is_session_cookie_secure() -> bool:
    """Whether the site's own cookie is Secure; browsers insist on it where the name has a prefix."""
    return settings.SESSION_COOKIE_SECURE or settings.SESSION_COOKIE_NAME.startswith(("__Host-", "__Secure-"))


def times_sent_to(request: HttpRequest, address: str) -> int:
    """How often a login page has just sent this signed-in user to a page."""
    name, _, times = request.COOKIES.get(SENT_TO, "").partition(".")
    return int(times) if name == fingerprint(address) and times.isdecimal() else 0


def count_sent_to(response: HttpResponseBase, address: str, times: int) -> None:
    """Remember for a moment how often a login page has sent a signed-in user to a page."""
    value = f"{fingerprint(address)}.{times}"
    response.set_cookie(SENT_TO, value, max_age=SENT_TO_SECONDS, secure=True, httponly=True, samesite="Lax")


def fingerprint(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16]
