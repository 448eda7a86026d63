"""Keys that only the portal has: the root secret, and the keys that are derived from it.

``settings.py`` reads the environment once, into a frozen ``Keyring``. No key is stored: a new portal with
the same root secret and the same lists of generations has the same keys.

The signing key rotates without signing anyone out (``manage.py sso_keys`` says what to do next):

1. publish: ``SSO_SIGNING_KEYS=2,1`` and ``SSO_SIGNING_KEY=1``; give the sites their new DSNs;
2. promote: ``SSO_SIGNING_KEY=2``, then ``manage.py sso_keys resign``;
3. retire: ``SSO_SIGNING_KEYS=2``; give the sites their new DSNs again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

from sso_common.dsn import Dsn
from sso_common.identity import FORMAT
from sso_common.keys import KEY_BYTES, PORTAL, SiteKeys, derive, key_id


@dataclass(frozen=True, slots=True)
class Keyring:
    """The root secret, and the generations in use. Lists are newest first."""

    root: bytes = field(repr=False)
    signing_generations: tuple[int, ...] = (1,)
    signing_generation: int = 1
    portal_generations: tuple[int, ...] = (1,)

    def private_key(self, generation: int) -> Ed25519PrivateKey:
        """Return one generation of the key that signs identity records."""
        return Ed25519PrivateKey.from_private_bytes(derive(self.root, "portal-signing", generation))

    def public_key(self, generation: int) -> tuple[str, bytes]:
        """Return (kid, raw public key) of one generation."""
        return derive_public_key(self, generation)

    @property
    def public_keys(self) -> tuple[tuple[str, bytes], ...]:
        """The published public keys, newest first."""
        return tuple(self.public_key(generation) for generation in self.signing_generations)

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return self.public_key(self.signing_generation)[0]

    def site_secret(self, site: str, generation: int) -> bytes:
        """Return one generation of a site's secret, which says nothing about the root secret."""
        return derive(self.root, f"site:{site}", generation)

    def site_keys(self, site: str, generations: Iterable[int]) -> list[SiteKeys]:
        """Return a site's keys in these generations of its secret."""
        return [SiteKeys(self.site_secret(site, generation)) for generation in generations]


@functools.lru_cache(maxsize=32)
def derive_public_key(keyring: Keyring, generation: int) -> tuple[str, bytes]:
    """``Keyring.public_key``, cached, because most requests need it."""
    public = keyring.private_key(generation).public_key().public_bytes_raw()
    return key_id(public), public


def keyring_from(environment: Mapping[str, str]) -> Keyring:
    """Read the root secret and the generations. Raises ``ImproperlyConfigured``."""
    text = environment.get("SSO_ROOT_SECRET", "").strip().rstrip("=")
    try:
        root = base64_decode(text)
    except BadData:
        root = b""
    # Python skips characters that are not base64. A mistyped secret must not become another secret.
    if len(root) < KEY_BYTES or base64_encode(root).decode("ascii") != text:
        problem = f"must hold at least {KEY_BYTES} random bytes in base64url" if text else "is not set"
        raise ImproperlyConfigured(
            f"SSO_ROOT_SECRET {problem}. Set it to this portal's root secret. All keys are derived from it, "
            "so a different one signs everyone out. To create one for a new portal: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    published = parse_generations(environment, "SSO_SIGNING_KEYS")
    signing = environment.get("SSO_SIGNING_KEY", "") or str(published[0])
    if signing not in map(str, published):
        raise ImproperlyConfigured(f"SSO_SIGNING_KEY={signing} is not one of SSO_SIGNING_KEYS.")
    return Keyring(root, published, int(signing), parse_generations(environment, "SSO_PORTAL_KEYS"))


def parse_generations(environment: Mapping[str, str], name: str) -> tuple[int, ...]:
    """Read a list of generations. Raises ``ImproperlyConfigured``."""
    text = environment.get(name, "") or "1"
    try:
        generations = tuple(int(part) for part in text.split(","))
    except ValueError:
        generations = ()
    if not generations or min(generations) < 1 or len(set(generations)) != len(generations):
        raise ImproperlyConfigured(
            f"{name} must be a list of different whole numbers, newest first, such as 2,1."
        )
    return generations


def portal_dsn_from(environment: Mapping[str, str], keyring: Keyring) -> Dsn:
    """Return the portal's own DSN. The portal is a site too, with its own Redis credentials."""
    return Dsn(
        portal_url=environment.get("SSO_PORTAL_URL", "http://portal.sso.localhost:8000").rstrip("/"),
        site=PORTAL,
        secrets=tuple(keyring.site_secret(PORTAL, number) for number in keyring.portal_generations),
        domain=environment.get("SSO_DOMAIN", "sso.localhost"),
        redis_url=with_user(environment.get("SSO_REDIS_URL", "redis://127.0.0.1:6379/0")),
        public_keys=keyring.public_keys,
        namespace=environment.get("SSO_NAMESPACE", "") or "sso",
    )


def with_user(redis_url: str) -> str:
    """Add Redis's default user to an address without credentials, which would mean a site's user."""
    parts = urlsplit(redis_url)
    return redis_url if "@" in parts.netloc else urlunsplit(parts._replace(netloc=f"default:@{parts.netloc}"))


def without_user(redis_url: str) -> str:
    """Remove the portal's credentials from a Redis address, so that it can be given to sites."""
    parts = urlsplit(redis_url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def keyring() -> Keyring:
    """Return the keys in use."""
    return settings.SSO_KEYRING


def sign_detached(value: bytes) -> tuple[str, bytes]:
    """Sign anything but an identity record. Returns (kid, signature)."""
    if value.startswith(FORMAT):
        # The signature would be valid for a forged record; see ``sso_common.identity.verify_detached``.
        raise ValueError("A detached value must not look like a record.")
    keys = keyring()
    return keys.kid, keys.private_key(keys.signing_generation).sign(value)
