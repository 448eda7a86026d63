"""Signed requests of a site to the portal, and the portal's signed answers: both halves of each. Pure.

A request is signed with the site's own key. The signature covers one method and path, expires after a
minute, and works once (the nonce). Its header is ``Authorization: SSO <site>:<token>``; the token is an
itsdangerous timed signature of {"m": method, "p": path with query, "n": nonce}. The portal signs
the answer, over the same nonce, so that it can be neither changed nor exchanged for another one:
``SSO-Signature: <kid>.<signature>``.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from itsdangerous import BadData, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from .dsn import SITE_NAME
from .exceptions import BadSignature
from .identity import PublicKeys, verify_detached
from .keys import SiteKeys

#: Seconds that a request may be old, or the site's clock be ahead.
MAX_AGE: Final = 60

HEADER: Final = re.compile(rf"SSO (?P<site>{SITE_NAME.pattern}):(?P<token>[A-Za-z0-9._-]{{1,4096}})")
NONCE: Final = re.compile(r"[0-9a-f]{32}")


class Refusal(Exception):
    """The request is not signed by the site it claims to come from."""

    #: For the log.
    reason: ClassVar[str]
    #: For the client, where that must learn less.
    answer: ClassVar[str] = ""


class Unsigned(Refusal):
    """There is no ``Authorization: SSO`` header, or it cannot be parsed."""

    reason = "unsigned"


class WrongSignature(Refusal):
    """The request is not signed with this site's key."""

    reason = "bad-signature"


class OtherRequest(Refusal):
    """The signature is for another method or address."""

    reason = "other-request"


class Stale(Refusal):
    """The request was signed too long ago, or the two clocks disagree."""

    reason = "stale"


@dataclass(frozen=True, slots=True)
class Authorization:
    """A parsed header, not verified yet."""

    site: str
    token: str


def sign_request(site: str, keys: SiteKeys, method: str, path: str, nonce: str) -> str:
    """Return the ``Authorization`` header of a request. ``nonce``: 32 hexadecimal digits."""
    return f"SSO {site}:{serializer(keys).dumps({'m': method, 'p': path, 'n': nonce})}"


def parse_authorization(header: str) -> Authorization:
    """Parse an ``Authorization`` header. Raises ``Unsigned``."""
    match = HEADER.fullmatch(header)
    if match is None:
        raise Unsigned
    return Authorization(match["site"], match["token"])


def verify_request(authorization: Authorization, keys: Iterable[SiteKeys], method: str, path: str) -> str:
    """Verify a request and return its nonce. The caller must check that the nonce is new.

    ``keys`` are those of ``authorization.site``; there are two while its secret rotates. Raises
    ``WrongSignature``, ``OtherRequest``, ``Stale`` or ``Unsigned``.
    """
    claims, signed_at = unsign(authorization.token, keys)
    if claims.get("m") != method or claims.get("p") != path:
        raise OtherRequest
    if abs(time.time() - signed_at) > MAX_AGE:
        raise Stale
    nonce = claims.get("n")
    if not isinstance(nonce, str) or NONCE.fullmatch(nonce) is None:
        raise Unsigned
    return nonce


def unsign(token: str, keys: Iterable[SiteKeys]) -> tuple[dict[str, Any], float]:
    """The claims of a token, and when it was signed (seconds since the epoch)."""
    for each in keys:
        try:
            claims, signed_at = serializer(each).loads(token, return_timestamp=True)
        except (BadData, ValueError, OverflowError):
            continue
        if isinstance(claims, dict):
            return claims, signed_at.timestamp()
    raise WrongSignature


def serializer(keys: SiteKeys) -> URLSafeTimedSerializer:
    """What signs and verifies the requests of one site."""
    return URLSafeTimedSerializer(
        keys.request_key, salt="sso.request", signer_kwargs={"digest_method": hashlib.sha256}
    )


def answer_payload(nonce: str, body: bytes) -> bytes:
    """What the portal signs: an answer, tied to the request that it answers."""
    return b"sso.response\n" + nonce.encode("ascii") + b"\n" + body


def answer_header(kid: str, signature: bytes) -> str:
    """The ``SSO-Signature`` header of an answer."""
    return f"{kid}.{base64_encode(signature).decode('ascii')}"


def verify_answer(header: str, nonce: str, body: bytes, public_keys: PublicKeys) -> None:
    """Verify an answer's ``SSO-Signature``. Raises ``UnknownKey`` or ``BadSignature``."""
    kid, _, encoded = header.partition(".")
    try:
        signature = base64_decode(encoded)
    except BadData as error:
        raise BadSignature("SSO-Signature") from error
    verify_detached(answer_payload(nonce, body), kid, signature, public_keys)
