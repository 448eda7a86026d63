"""The SSO cookie's value: minted by the portal, parsed by every site. Pure: no settings, no I/O.

In: the text of a cookie. Out: a frozen ``SessionToken``, or ``MalformedToken``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from itsdangerous.encoding import base64_encode

from .exceptions import MalformedToken

SID_BYTES = 16
SECRET_BYTES = 32

# 16 and 32 bytes in unpadded base64url, in the one canonical encoding (RFC 4648, 3.5): the bits of
# the last character that encode nothing are zero.
_SID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]", re.ASCII)
_SHAPE = re.compile(rf"({_SID.pattern})\.([A-Za-z0-9_-]{{42}}[AEIMQUYcgkosw048])", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionToken:
    """One session's name and the secret that opens it.

    ``sid`` (128 random bits) is public among the sites and may be logged; ``secret`` (256 random
    bits) is known to the browser alone. Both are unpadded base64url.
    """

    sid: str
    secret: str = field(repr=False)

    @property
    def bind(self) -> str:
        """SHA-256 of the secret, base64url: what the identity record keeps in its place."""
        return base64_encode(hashlib.sha256(self.secret.encode("ascii")).digest()).decode("ascii")

    @property
    def value(self) -> str:
        """The cookie's value, ``<sid>.<secret>``: 66 characters."""
        return f"{self.sid}.{self.secret}"


def mint_token() -> SessionToken:
    """Make the token of a new session from the operating system's randomness."""
    return SessionToken(
        sid=base64_encode(secrets.token_bytes(SID_BYTES)).decode("ascii"),
        secret=base64_encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii"),
    )


def parse_token(value: str) -> SessionToken:
    """Parse a cookie's value.

    Raises ``MalformedToken`` unless it is exactly what ``mint_token`` can produce: the one
    canonical encoding, so that no two cookie values name the same session (RFC 4648, 3.5).
    """
    match = _SHAPE.fullmatch(value)
    if match is None:
        raise MalformedToken
    sid, secret = match.groups()
    return SessionToken(sid, secret)


def is_sid(text: str) -> bool:
    """Whether a text is what ``mint_token`` can produce as the name of a session."""
    return _SID.fullmatch(text) is not None
