"""Keys that are derived from a secret, by HKDF-SHA256 (RFC 5869). Pure.

The portal derives each site's secret from its root secret, and a site derives its own keys from its
secret. Neither can be reversed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous.encoding import base64_encode

KEY_BYTES = 32

#: The portal is itself a site and has this name; no other site may use it.
PORTAL: Final = "portal"

_SALT = b"sso_common/1"


def derive(secret: bytes, label: str, generation: int = 0) -> bytes:
    """Derive 32 bytes for one purpose. Another label or generation gives an unrelated key."""
    if len(secret) < KEY_BYTES:
        raise ValueError(f"A secret needs at least {KEY_BYTES} bytes, this one has {len(secret)}.")
    info = f"{label}\x00{generation}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=_SALT, info=info).derive(secret)


def key_id(public_key: bytes) -> str:
    """The ``kid`` of a public key: 8 characters of its SHA-256."""
    return base64_encode(hashlib.sha256(public_key).digest()[:6]).decode("ascii")


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """The keys that a site derives from one generation of its secret."""

    secret: bytes = field(repr=False)

    @property
    def django_secret_key(self) -> str:
        """The site's ``SECRET_KEY``."""
        return derive(self.secret, "django-secret-key").hex()

    @property
    def request_key(self) -> bytes:
        """The key that signs the site's requests to the portal."""
        return derive(self.secret, "portal-request")

    @property
    def redis_password(self) -> str:
        """The password of the site's Redis user."""
        return base64_encode(derive(self.secret, "redis-password")).decode("ascii")
