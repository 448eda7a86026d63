"""The SSO cookie's value: made by the portal, parsed by every site. Pure: no settings, no I/O."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

from itsdangerous.encoding import base64_encode

from .exceptions import MalformedToken

SID_BYTES = 16
SECRET_BYTES = 32

# 16 and 32 bytes in unpadded base64url, in the canonical encoding (RFC 4648, 3.5): the unused bits of
# the last character are zero.
_SID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]", re.ASCII)
_SHAPE = re.compile(rf"({_SID.pattern})\.([A-Za-z0-9_-]{{42}}[AEIMQUYcgkosw048])", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionToken:
    """The name of a session, and the secret that opens it.

    ``sid`` (128 random bits) is known to all sites and may be logged. ``secret`` (256 random bits) is
    never stored. Both are unpadded base64url.
    """

    sid: str
    secret: str = field(repr=False)

    @property
    def bind(self) -> str:
        """SHA-256 of the secret, base64url: the identity record contains this instead of the secret."""
        digest = hashlib.sha256(self.secret.encode("ascii")).digest()
        return urlsafe_b64encode(digest)[:-1].decode("ascii")

    @property
    def value(self) -> str:
        """The cookie's value, ``<sid>.<secret>``: 66 characters."""
        return f"{self.sid}.{self.secret}"


def mint_token() -> SessionToken:
    """Make the token of a new session, from the operating system's random numbers."""
    return SessionToken(
        sid=base64_encode(secrets.token_bytes(SID_BYTES)).decode("ascii"),
        secret=base64_encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii"),
    )


def parse_token(value: str) -> SessionToken:
    """Parse a cookie's value.

    Raises ``MalformedToken`` unless it is exactly what ``mint_token`` can produce. Only the canonical
    encoding counts, so no two cookie values name the same session.
    """
    match = _SHAPE.fullmatch(value)
    if match is None:
        raise MalformedToken
    sid, secret = match.groups()
    return SessionToken(sid, secret)


def is_sid(text: str) -> bool:
    """Whether a text is a ``sid`` that ``mint_token`` can produce."""
    return _SID.fullmatch(text) is not None
