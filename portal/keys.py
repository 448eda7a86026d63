"""Keys that only the portal has: the root secret, and which generations derived from it are in use.

In: the environment, read once by ``settings.py`` into a frozen ``Keyring``. Out: the signing key, the
public keys, every site's secrets and DSN. Nothing here is stored: a new portal with the same root
secret and the same lists of generations has the same keys.

Rotation, with nobody signed out (``manage.py sso_keys`` says which step comes next):

1. publish: ``SSO_SIGNING_KEYS=2,1`` and ``SSO_SIGNING_KEY=1``; hand the new DSNs to the sites;
2. promote: ``SSO_SIGNING_KEY=2``, then ``manage.py sso_keys resign``;
3. retire: ``SSO_SIGNING_KEYS=2``; hand out the DSNs once more.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
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
    """The root secret and the generations in use, each list newest first."""

    root: bytes = field(repr=False)
    signing_generations: tuple[int, ...] = (1,)
    signing_generation: int = 1
    portal_generations: tuple[int, ...] = (1,)

    def private_key(self, generation: int) -> Ed25519PrivateKey:
        """One generation of the key that signs identity records."""
        return Ed25519PrivateKey.from_private_bytes(derive(self.root, "portal-signing", generation))

    def public_key(self, generation: int) -> tuple[str, bytes]:
        """(kid, raw public key) of one generation."""
        return _public_key(self, generation)

    @property
    def public_keys(self) -> tuple[tuple[str, bytes], ...]:
        """The published public keys, newest first."""
        return tuple(self.public_key(generation) for generation in self.signing_generations)

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return self.public_key(self.signing_generation)[0]

    def site_secret(self, site: str, generation: int) -> bytes:
        """One generation of a site's secret: all that the site ever learns of the root."""
        return derive(self.root, f"site:{site}", generation)


@functools.lru_cache(maxsize=32)
def _public_key(keyring: Keyring, generation: int) -> tuple[str, bytes]:
    public = keyring.private_key(generation).public_key().public_bytes_raw()
    return key_id(public), public


def keyring_from(environment: Mapping[str, str]) -> Keyring:
    """Read ``SSO_ROOT_SECRET`` and the lists of generations. Raises ``ImproperlyConfigured``."""
    text = environment.get("SSO_ROOT_SECRET", "").strip().rstrip("=")
    try:
        root = base64_decode(text)
    except BadData:
        root = b""
    # Python skips characters that are not base64; a mistyped secret must not become another one.
    if len(root) < KEY_BYTES or base64_encode(root).decode("ascii") != text:
        problem = f"must hold at least {KEY_BYTES} random bytes in base64url" if text else "is not set"
        raise ImproperlyConfigured(
            f"SSO_ROOT_SECRET {problem}. Set it to this portal's root secret: every key is derived from it, "
            "and another one signs everybody out. Only for a new portal, make one: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    published = _generations(environment, "SSO_SIGNING_KEYS")
    signing = environment.get("SSO_SIGNING_KEY", "") or str(published[0])
    if signing not in map(str, published):
        raise ImproperlyConfigured(f"SSO_SIGNING_KEY={signing} is not one of SSO_SIGNING_KEYS.")
    return Keyring(root, published, int(signing), _generations(environment, "SSO_PORTAL_KEYS"))


def _generations(environment: Mapping[str, str], name: str) -> tuple[int, ...]:
    text = environment.get(name, "") or "1"
    try:
        generations = tuple(int(part) for part in text.split(","))
    except ValueError:
        generations = ()
    if not generations or min(generations) < 1 or len(set(generations)) != len(generations):
        raise ImproperlyConfigured(f"{name} must be different whole numbers, newest first, like 2,1.")
    return generations


def portal_dsn_from(environment: Mapping[str, str], keyring: Keyring) -> Dsn:
    """The portal's own DSN: it is a site among the sites, with Redis credentials of its own."""
    return Dsn(
        portal_url=environment.get("SSO_PORTAL_URL", "http://portal.sso.localhost:8000").rstrip("/"),
        site=PORTAL,
        secrets=tuple(keyring.site_secret(PORTAL, number) for number in keyring.portal_generations),
        domain=environment.get("SSO_DOMAIN", "sso.localhost"),
        redis_url=_with_user(environment.get("SSO_REDIS_URL", "redis://127.0.0.1:6379/0")),
        public_keys=keyring.public_keys,
        namespace=environment.get("SSO_NAMESPACE", "") or "sso",
    )


def _with_user(redis_url: str) -> str:
    """An address without credentials means Redis's default user, never a site's."""
    parts = urlsplit(redis_url)
    return redis_url if "@" in parts.netloc else urlunsplit(parts._replace(netloc=f"default:@{parts.netloc}"))


def without_user(redis_url: str) -> str:
    """A Redis address as it may be given to sites: each of them has credentials of its own."""
    parts = urlsplit(redis_url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# --- read live -------------------------------------------------------------------------------


def keyring() -> Keyring:
    """The keys in use."""
    return settings.SSO_KEYRING


def public_keys() -> tuple[tuple[str, bytes], ...]:
    """(kid, raw Ed25519 public key) of every published key, newest first."""
    return keyring().public_keys


def sign_detached(value: bytes) -> tuple[str, bytes]:
    """Sign something that is not an identity record; returns (kid, signature)."""
    if value.startswith(FORMAT):
        # See ``sso_common.identity.verify_detached``: it could pass for a record.
        raise ValueError("A detached value may not look like a record.")
    keys = keyring()
    return keys.kid, keys.private_key(keys.signing_generation).sign(value)


def site_keys(site: str) -> list[SiteKeys]:
    """A site's keys in every generation it may use now, newest first; none for an unknown site."""
    from portal.registry.models import Site

    keys = keyring()
    if site == PORTAL:
        generations = keys.portal_generations
    else:
        row = Site.objects.filter(name=site).first()
        generations = row.generations if row else ()
    return [SiteKeys(keys.site_secret(site, generation)) for generation in generations]


def portal_dsn() -> Dsn:
    """The portal's own DSN."""
    from sso_common import conf

    return conf.dsn()


def dsn_for(site: str) -> Dsn:
    """The DSN to configure a site with. Raises ``LookupError`` for an unknown site."""
    own = portal_dsn()
    secrets = tuple(keys.secret for keys in site_keys(site))
    if not secrets:
        raise LookupError(f"There is no site named {site!r}.")
    return Dsn(
        portal_url=own.portal_url,
        site=site,
        secrets=secrets,
        domain=own.domain,
        redis_url=settings.SSO_SITE_REDIS_URL,
        public_keys=public_keys(),
        namespace=own.namespace,
    )
