"""The identity record: it proves who is signed in, only if the portal signed it for this session."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous.encoding import base64_decode, base64_encode

from sso_common import identity, testing
from sso_common.exceptions import (
    BadSignature,
    IdentityExpired,
    MalformedRecord,
    UnknownKey,
    Untrusted,
    WrongSecret,
    WrongSession,
)
from sso_common.identity import (
    FORMAT,
    MAX_RECORD_BYTES,
    Ed25519,
    record_signer,
    verify_detached,
    verify_identity,
    verify_record,
)
from sso_common.keys import key_id
from sso_common.record_cache import RecordCache
from sso_common.tokens import SessionToken, mint_token

TRUSTED = (testing.PUBLIC_KEY,)
NOW = time.time()

TOKEN = mint_token()
IDENTITY = testing.make_identity(TOKEN, "anna", roles=["editor"], first_name="Anna")
RECORD = testing.sign_record(IDENTITY)


def public_key(private: Ed25519PrivateKey) -> tuple[str, bytes]:
    raw = private.public_key().public_bytes_raw()
    return key_id(raw), raw


def signed(payload: bytes) -> bytes:
    """Sign any payload with the portal's key."""
    return record_signer(b"unused", testing._TestSigner(testing._private_key)).sign(payload)


def with_claims(**changes) -> bytes:
    """A record with other claims, signed by the portal."""
    claims = json.loads(base64_decode(RECORD.split(b".")[2]))
    claims.update(changes)
    body = base64_encode(json.dumps({k: v for k, v in claims.items() if v is not ...}))
    return signed(b".".join((FORMAT, TRUSTED[0][0].encode(), body)))


def test_signed_record_verifies_to_the_same_identity() -> None:
    assert verify_identity(RECORD, TOKEN, TRUSTED, NOW) == IDENTITY


def test_identity_is_immutable() -> None:
    identity = verify_record(RECORD, TRUSTED)

    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.exp = 0
    with pytest.raises(TypeError):
        identity.sites["site_b"] = frozenset({"admin"})


def test_repr_of_an_identity_shows_no_binding() -> None:
    assert IDENTITY.bind not in repr(IDENTITY)


def test_roles_are_those_at_the_site_and_missing_sites_have_no_access() -> None:
    identity = testing.make_identity(TOKEN, sites={"site_a": ["editor"], "site_b": []})

    assert identity.roles == identity.roles_at("site_a") == {"editor"}
    assert identity.is_admitted_to("site_b")
    assert identity.roles_at("site_b") == frozenset()
    assert not identity.is_admitted_to("site_c")
    assert identity.roles_at("site_c") == frozenset()


def test_verifier_cannot_sign() -> None:
    with pytest.raises(NotImplementedError):
        record_signer(TRUSTED[0][1], Ed25519()).sign(b"sso1.kid.body")


# --- refusals, in the order of the checks ----------------------------------------------------


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda body: b"sso1." + body))
def test_any_bytes_are_untrusted(record: bytes) -> None:
    with pytest.raises(Untrusted):
        verify_record(record, TRUSTED)


@given(st.data())
def test_attack_record_with_one_changed_byte_is_untrusted(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(RECORD) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != RECORD[position]))
    changed = RECORD[:position] + bytes([byte]) + RECORD[position + 1 :]

    try:
        identity = verify_record(changed, TRUSTED)
    except Untrusted:
        return

    # The last character of the signature contains four bits that encode nothing.
    assert position == len(RECORD) - 1
    assert identity == IDENTITY


@given(st.integers(0, len(RECORD) - 1))
def test_attack_truncated_record_is_untrusted(length: int) -> None:
    with pytest.raises(Untrusted):
        verify_record(RECORD[:length], TRUSTED)


def test_attack_oversized_record_is_refused_unread() -> None:
    huge = with_claims(padding="x" * MAX_RECORD_BYTES)

    with pytest.raises(MalformedRecord, match="too long"):
        verify_record(huge, TRUSTED)


CLAIMS = {
    "sites that are a list": {"sites": []},
    "roles that are text": {"sites": {"site_a": "admin"}},
    "no expiry": {"exp": ...},
    "an expiry that is text": {"exp": "9999999999"},
    "an expiry that is infinite": {"exp": float("inf")},
    "a negative time": {"auth_time": -1},
    "no user": {"user": None},
    "a user without a subject": {"user": {"version": 1}},
    "methods that are a number": {"amr": 7},
    "no session": {"sid": ...},
}


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS)
def test_signed_record_with_claims_of_the_wrong_type_is_malformed(changes) -> None:
    with pytest.raises(MalformedRecord):
        verify_record(with_claims(**changes), TRUSTED)


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b"{}", b"{", b"\xff", b"[" * 5000])
def test_signed_record_that_is_no_json_object_is_malformed(body: bytes) -> None:
    payload = b".".join((FORMAT, TRUSTED[0][0].encode(), base64_encode(body)))

    with pytest.raises(MalformedRecord):
        verify_record(signed(payload), TRUSTED)


def test_unknown_claims_of_a_newer_portal_are_ignored() -> None:
    assert verify_record(with_claims(acr="high"), TRUSTED) == IDENTITY


def test_attack_record_signed_with_an_unknown_key_is_refused() -> None:
    unknown = Ed25519PrivateKey.generate()

    with pytest.raises(UnknownKey):
        verify_record(testing.sign_record(IDENTITY, unknown), TRUSTED)


def test_attack_record_with_a_swapped_key_id_is_refused() -> None:
    unknown = Ed25519PrivateKey.generate()
    forged = testing.sign_record(IDENTITY, unknown).replace(
        public_key(unknown)[0].encode(), TRUSTED[0][0].encode()
    )

    with pytest.raises(BadSignature):
        verify_record(forged, TRUSTED)


def test_verified_record_is_refused_once_its_key_is_retired() -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    record = testing.sign_record(IDENTITY, old)

    both = verify_record(record, (public_key(new), public_key(old)))

    assert both == IDENTITY
    with pytest.raises(UnknownKey):
        verify_record(record, (public_key(new),))


def test_attack_record_of_another_session_is_refused() -> None:
    with pytest.raises(WrongSession):
        verify_identity(RECORD, mint_token(), TRUSTED, NOW)


def test_attack_sid_with_a_guessed_secret_is_refused() -> None:
    guess = SessionToken(sid=TOKEN.sid, secret=mint_token().secret)

    with pytest.raises(WrongSecret):
        verify_identity(RECORD, guess, TRUSTED, NOW)


def test_attack_binding_in_place_of_the_secret_is_refused() -> None:
    with pytest.raises(WrongSecret):
        verify_identity(RECORD, SessionToken(sid=TOKEN.sid, secret=IDENTITY.bind), TRUSTED, NOW)


def test_record_is_valid_until_the_second_of_its_expiry() -> None:
    assert verify_identity(RECORD, TOKEN, TRUSTED, IDENTITY.exp - 0.001) == IDENTITY

    with pytest.raises(IdentityExpired):
        verify_identity(RECORD, TOKEN, TRUSTED, IDENTITY.exp)


def test_expiry_and_binding_are_checked_each_time_and_the_signature_once(monkeypatch) -> None:
    checked = []

    def counting(record: bytes, public_keys: identity.PublicKeys) -> identity.Identity:
        checked.append(record)
        return check(record, public_keys)

    check = identity.check_record
    monkeypatch.setattr(identity, "verified", RecordCache())
    monkeypatch.setattr(identity, "check_record", counting)
    verify_identity(RECORD, TOKEN, TRUSTED, NOW)
    verify_identity(RECORD, TOKEN, TRUSTED, NOW)

    assert checked == [RECORD]
    with pytest.raises(IdentityExpired):
        verify_identity(RECORD, TOKEN, TRUSTED, IDENTITY.exp + 1)
    with pytest.raises(WrongSecret):
        verify_identity(RECORD, SessionToken(TOKEN.sid, mint_token().secret), TRUSTED, NOW)


def test_refusal_is_not_cached() -> None:
    unknown = Ed25519PrivateKey.generate()
    record = testing.sign_record(IDENTITY, unknown)
    with pytest.raises(UnknownKey):
        verify_record(record, TRUSTED)

    assert verify_record(record, (*TRUSTED, public_key(unknown))) == IDENTITY


# --- signed answers of the portal ------------------------------------------------------------


def test_signature_verifies_only_the_answer_that_wassigned() -> None:
    signature = testing._private_key.sign(b"sso.response\nbody")

    verify_detached(b"sso.response\nbody", TRUSTED[0][0], signature, TRUSTED)

    with pytest.raises(BadSignature):
        verify_detached(b"sso.response\nBody", TRUSTED[0][0], signature, TRUSTED)
    with pytest.raises(UnknownKey):
        verify_detached(b"sso.response\nbody", "unknown", signature, TRUSTED)


def test_attack_record_signature_is_never_that_of_an_answer() -> None:
    payload, _, signature = RECORD.rpartition(b".")

    with pytest.raises(ValueError, match="look like a record"):
        verify_detached(payload, TRUSTED[0][0], base64_decode(signature), TRUSTED)
