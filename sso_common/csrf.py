"""The CSRF cookie, bound to the session token: a secret from before the sign-in is worth nothing after it.

Django's ``login()`` rotates the secret, but users who sign in at the portal never call it here. So each
secret that is sent to a browser with an SSO cookie belongs to that cookie. This takes no memory, and so no
round trip. It is the signed double-submit cookie of OWASP's CSRF Prevention Cheat Sheet.

The cookie's value is a CSRF token in Django's format (a mask, then the masked secret), so scripts send it
back as before. Here the mask is not random: it is an HMAC of session token and secret.
"""

from __future__ import annotations

import hmac
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CSRF_ALLOWED_CHARS as CHARACTERS
from django.middleware.csrf import CSRF_SECRET_LENGTH, CSRF_TOKEN_LENGTH
from django.utils.cache import patch_cache_control
from django.utils.crypto import constant_time_compare
from django.utils.encoding import force_bytes

from .tokens import SessionToken

#: The methods of requests that Django does not check.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: The key in ``request.META`` that says that this response renews the cookie, whatever the view does.
RENEWED: Final = "SSO_CSRF_RENEWED"

INDEX: Final = {character: index for index, character in enumerate(CHARACTERS)}
#: The character of each byte, for ``bytes.translate``.
FROM_BYTE: Final = "".join(CHARACTERS[byte % len(CHARACTERS)] for byte in range(256)).encode("ascii")


def replace_unbound_secret(request: HttpRequest, token: SessionToken | None) -> None:
    """Replace a secret that does not belong to this session, as if it had been rotated before this request.

    With ``CSRF_USE_SESSIONS`` there is nothing to do: each session has a secret of its own.
    """
    sent = request.COOKIES.get(settings.CSRF_COOKIE_NAME)
    if token is None or sent is None or settings.CSRF_USE_SESSIONS or is_bound(sent, token):
        return
    # Not random: requests that the browser sends at the same time must agree. With the key of the site's
    # own session, because a local login in this session must not share it.
    own = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    secret = characters(settings.SECRET_KEY, token, sent, own)
    request.COOKIES[settings.CSRF_COOKIE_NAME] = secret
    request.META |= {"CSRF_COOKIE": secret, "CSRF_COOKIE_NEEDS_UPDATE": True, RENEWED: True}


def bind_secret(request: HttpRequest, response: HttpResponseBase, token: SessionToken | None) -> None:
    """Bind the secret that a response sets to the session token that the browser will send with it."""
    if token is None or settings.CSRF_USE_SESSIONS:
        return
    if RENEWED in request.META:
        # The view may have declared its page public, and knows nothing of the cookie.
        patch_cache_control(response, private=True)
    name = settings.CSRF_COOKIE_NAME
    if name in response.cookies:
        response.cookies[name] = bound(response.cookies[name].value, token)  # keeps the attributes
    elif request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        # Django's middleware is above the session middleware, and sets the cookie later.
        request.META["CSRF_COOKIE"] = bound(request.META["CSRF_COOKIE"], token)


def forget_secret(response: HttpResponseBase) -> None:
    """Delete the cookie, unless the response sets one."""
    name = settings.CSRF_COOKIE_NAME
    if name not in response.cookies and not settings.CSRF_USE_SESSIONS:
        response.delete_cookie(
            name,
            path=settings.CSRF_COOKIE_PATH,
            domain=settings.CSRF_COOKIE_DOMAIN,
            samesite=settings.CSRF_COOKIE_SAMESITE,
        )
        # Browsers ignore even the deletion of a __Host- cookie if it is not Secure.
        response.cookies[name]["secure"] = settings.CSRF_COOKIE_SECURE


def bound(secret: str, token: SessionToken) -> str:
    """A secret in the form of a cookie that is bound to a token. Other values are returned as they are."""
    if len(secret) != CSRF_SECRET_LENGTH:
        return secret  # a deletion
    mask = characters(settings.SECRET_KEY, token, secret)
    return mask + shift(secret, mask, 1)


def is_bound(value: str, token: SessionToken) -> bool:
    """Whether a cookie is bound to a token, with the site's secret key or an older one."""
    if len(value) != CSRF_TOKEN_LENGTH or not (value.isascii() and value.isalnum()):
        return False
    mask, masked = value[:CSRF_SECRET_LENGTH], value[CSRF_SECRET_LENGTH:]
    secret = shift(masked, mask, -1)
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(mask, characters(key, token, secret)) for key in keys)


def shift(text: str, mask: str, sign: int) -> str:
    """Mask (1) or unmask (-1) a secret, as Django does."""
    pairs = zip(text, mask, strict=True)
    return "".join([CHARACTERS[(INDEX[x] + sign * INDEX[y]) % len(CHARACTERS)] for x, y in pairs])


def characters(key: str | bytes, token: SessionToken, *parts: str) -> str:
    """Return as many characters as a secret has, derived from a key, a session token and other texts."""
    message = "\0".join(("sso_common.csrf", token.value, *parts))
    digest = hmac.digest(force_bytes(key), force_bytes(message), "sha256")
    return digest.translate(FROM_BYTE).decode("ascii")
