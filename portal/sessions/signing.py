"""Signs identity records. ``sso_common.identity`` verifies them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portal import keys
from sso_common.identity import Ed25519, Identity, encode_payload, record_signer


class SigningEd25519(Ed25519):
    """Ed25519 with a private key, which itsdangerous passes as raw bytes."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Sign a value with a private key."""
        return Ed25519PrivateKey.from_private_bytes(key).sign(value)


def sign_record(identity: Identity) -> bytes:
    """Return the identity record, signed with the key that is promoted now."""
    ring = keys.keyring()
    private = ring.private_key(ring.signing_generation).private_bytes_raw()
    return record_signer(private, SigningEd25519()).sign(encode_payload(identity, ring.kid))
