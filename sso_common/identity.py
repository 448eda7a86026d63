"""Identity records: signed by the portal, verified by every site."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from itsdangerous import BadSignature as ItsdangerousBadSignature
from itsdangerous import Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData
from itsdangerous.signer import SigningAlgorithm

from . import conf
from .exceptions import (
    BadSignature,
    IdentityExpired,
    MalformedRecord,
    SSOError,
    UnknownKey,
    WrongSecret,
    WrongSession,
)
from .record_cache import RecordCache
from .snapshot import UserSnapshot, parse_roles, parse_snapshot
from .tokens import SessionToken

FORMAT: Final = b"sso1"
MAX_RECORD_BYTES: Final = 64 * 1024

PublicKeys = tuple[tuple[str, bytes], ...]


class Ed25519(SigningAlgorithm):
    """Ed25519 (RFC 8032) for itsdangerous; the key is the raw 32-byte public key.

    Only ``verify_signature`` is implemented. A subclass at the portal signs, with the private key, which
    no site has.
    """

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Raise ``NotImplementedError``: see ``portal.sessions.signing``."""
        raise NotImplementedError("A site cannot sign an identity record.")

    def verify_signature(self, key: bytes, value: bytes, sig: bytes) -> bool:
        """Whether ``sig`` is the signature of ``value`` under the public key ``key``."""
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(sig, value)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified identity record: who is signed in, since when, how, and with access to which sites.

    In a view, it is ``request.sso``::

        if request.sso and "editor" in request.sso.roles: ...

    Times are whole seconds since the epoch; ``exp`` is the absolute expiry, ``idle`` the idle timeout in
    seconds. ``amr`` are authentication methods (RFC 8176). ``sites`` maps each site that the user has
    access to, to the user's roles there. ``user`` has no roles of its own.
    """

    sid: str
    bind: str = field(repr=False)
    auth_time: int
    iat: int
    exp: int
    idle: int
    amr: tuple[str, ...]
    user: UserSnapshot
    sites: Mapping[str, frozenset[str]]

    @property
    def sub(self) -> uuid.UUID:
        """The user's permanent id, the same at every site."""
        return self.user.sub

    def is_admitted_to(self, site: str) -> bool:
        """Whether the user has access to a site: only if the record names it."""
        return site in self.sites

    def roles_at(self, site: str) -> frozenset[str]:
        """The user's roles at a site; none where the user has no access."""
        return self.sites.get(site, frozenset())

    @property
    def roles(self) -> frozenset[str]:
        """The user's roles at this site."""
        return self.roles_at(conf.dsn().site)

    def snapshot_for(self, site: str) -> UserSnapshot:
        """The user's snapshot as the feed would send it to a site now."""
        return replace(self.user, roles=self.roles_at(site))


def encode_payload(identity: Identity, kid: str) -> bytes:
    """The signed part of a record: format, key id and claims."""
    claims = {
        "sid": identity.sid,
        "bind": identity.bind,
        "auth_time": identity.auth_time,
        "iat": identity.iat,
        "exp": identity.exp,
        "idle": identity.idle,
        "amr": list(identity.amr),
        "user": identity.user.to_wire(),
        "sites": {site: sorted(roles) for site, roles in identity.sites.items()},
    }
    body = base64_encode(json.dumps(claims, separators=(",", ":"), ensure_ascii=False))
    return b".".join((FORMAT, kid.encode("ascii"), body))


def record_signer(key: bytes, algorithm: SigningAlgorithm) -> Signer:
    """The itsdangerous signer of records. The key is already derived, so it is used as it is."""
    return Signer(key, salt=b"", sep=b".", key_derivation="none", algorithm=algorithm)


verified: Final = RecordCache()


def verify_record(record: bytes, public_keys: PublicKeys) -> Identity:
    """Verify a record's signature and return its claims.

    The result is cached by the record's exact bytes and the keys, so a signature is not checked in
    every request. Expiry and binding are not checked here: see ``verify_identity``. Raises
    ``MalformedRecord``, ``UnknownKey`` or ``BadSignature``.
    """
    identity = verified.get(record, public_keys)
    if identity is None:
        identity = check_record(record, public_keys)
        verified.put(record, public_keys, identity)
    return identity


def check_record(record: bytes, public_keys: PublicKeys) -> Identity:
    """``verify_record`` without the cache."""
    if len(record) > MAX_RECORD_BYTES:
        raise MalformedRecord("too long")
    parts = record.split(b".")
    if len(parts) != 4 or parts[0] != FORMAT:
        raise MalformedRecord("not four parts")
    kid = parts[1].decode("ascii", "replace")
    key = dict(public_keys).get(kid)
    if key is None:
        raise UnknownKey(kid[:16])
    try:
        record_signer(key, Ed25519()).unsign(record)
    except ItsdangerousBadSignature as error:
        raise BadSignature(kid) from error
    try:
        return parse_claims(json.loads(base64_decode(parts[2])))
    except (BadData, ValueError, TypeError, KeyError, AttributeError, RecursionError, SSOError) as error:
        raise MalformedRecord(str(error)) from error


def parse_claims(claims: Any) -> Identity:
    """Turn decoded claims into an identity. Raises an exception that ``verify_record`` expects."""
    times = [claims[name] for name in ("auth_time", "iat", "exp", "idle")]
    if not all(isinstance(value, int) and value >= 0 for value in times):
        raise MalformedRecord("times")
    sites = {str(site): parse_roles(roles) for site, roles in claims["sites"].items()}
    return Identity(
        sid=str(claims["sid"]),
        bind=str(claims["bind"]),
        auth_time=times[0],
        iat=times[1],
        exp=times[2],
        idle=times[3],
        amr=tuple(str(method) for method in claims["amr"]),
        user=parse_snapshot(claims["user"]),
        sites=MappingProxyType(sites),
    )


def verify_identity(record: bytes, token: SessionToken, public_keys: PublicKeys, now: float) -> Identity:
    """Verify that a token opens the session of a record, and return the identity.

    ``now`` is in seconds since the epoch. Raises, in this order: ``MalformedRecord``, ``UnknownKey``,
    ``BadSignature``, ``WrongSession`` (a record copied from another session), ``WrongSecret``,
    ``IdentityExpired``.
    """
    identity = verify_record(record, public_keys)
    if identity.sid != token.sid:
        raise WrongSession
    if not hmac.compare_digest(identity.bind, token.bind):
        raise WrongSecret
    if now >= identity.exp:
        raise IdentityExpired
    return identity


def verify_detached(value: bytes, kid: str, signature: bytes, public_keys: PublicKeys) -> None:
    """Verify the portal's signature of something other than a record.

    ``value`` cannot start with ``FORMAT``: its signature could be used as that of a record. Raises
    ``UnknownKey`` or ``BadSignature``.
    """
    if value.startswith(FORMAT):
        raise ValueError("A detached value cannot look like a record.")
    key = dict(public_keys).get(kid)
    if key is None:
        raise UnknownKey(kid[:16])
    if not Ed25519().verify_signature(key, value, signature):
        raise BadSignature(kid)
