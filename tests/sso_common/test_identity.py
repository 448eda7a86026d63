"""A record says who is signed in because the portal signed it, for this session, and for no other reason."""

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


def _public(private: Ed25519PrivateKey) -> tuple[str, bytes]:
    raw = private.public_key().public_bytes_raw()
    return key_id(raw), raw


def _signed(payload: bytes) -> bytes:
    """Signed by the portal itself, whatever it may say."""
    return record_signer(b"unused", testing._TestSigner(testing._private_key)).sign(payload)


def _with_claims(**changes) -> bytes:
    """A record of the portal with other claims."""
    claims = json.loads(base64_decode(RECORD.split(b".")[2]))
    claims.update(changes)
    body = base64_encode(json.dumps({k: v for k, v in claims.items() if v is not ...}))
    return _signed(b".".join((FORMAT, TRUSTED[0][0].encode(), body)))


def test_what_the_portal_signs_is_what_the_site_reads() -> None:
    assert verify_identity(RECORD, TOKEN, TRUSTED, NOW) == IDENTITY


def test_an_identity_cannot_be_changed_by_the_code_that_reads_it() -> None:
    identity = verify_record(RECORD, TRUSTED)

    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.exp = 0
    with pytest.raises(TypeError):
        identity.sites["site_b"] = frozenset({"admin"})


def test_an_identity_in_a_log_shows_no_binding() -> None:
    assert IDENTITY.bind not in repr(IDENTITY)


def test_roles_are_those_of_the_site_that_asks_and_closed_where_it_is_not_named() -> None:
    identity = testing.make_identity(TOKEN, sites={"site_a": ["editor"], "site_b": []})

    assert identity.roles == identity.roles_at("site_a") == {"editor"}
    assert identity.is_admitted_to("site_b")
    assert identity.roles_at("site_b") == frozenset()
    assert not identity.is_admitted_to("site_c")
    assert identity.roles_at("site_c") == frozenset()


def test_a_site_has_no_code_that_could_sign() -> None:
    with pytest.raises(NotImplementedError):
        record_signer(TRUSTED[0][1], Ed25519()).sign(b"sso1.kid.body")


# --- in the order of the checks ----------------------------------------------------------------


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda body: b"sso1." + body))
def test_no_bytes_at_all_do_anything_but_verify_or_be_untrusted(record: bytes) -> None:
    with pytest.raises(Untrusted):
        verify_record(record, TRUSTED)


@given(st.data())
def test_a_record_with_one_byte_changed_says_nothing(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(RECORD) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != RECORD[position]))
    changed = RECORD[:position] + bytes([byte]) + RECORD[position + 1 :]

    try:
        identity = verify_record(changed, TRUSTED)
    except Untrusted:
        return

    # The last character of the signature holds two bits that encode nothing.
    assert position == len(RECORD) - 1
    assert identity == IDENTITY


@given(st.integers(0, len(RECORD) - 1))
def test_a_record_that_was_cut_says_nothing(length: int) -> None:
    with pytest.raises(Untrusted):
        verify_record(RECORD[:length], TRUSTED)


def test_an_oversized_record_is_not_even_looked_at() -> None:
    huge = _with_claims(padding="x" * MAX_RECORD_BYTES)

    with pytest.raises(MalformedRecord, match="too long"):
        verify_record(huge, TRUSTED)


CLAIMS = {
    "not admitted anywhere, as a list": {"sites": []},
    "roles that are a text": {"sites": {"site_a": "admin"}},
    "no expiry": {"exp": ...},
    "an expiry that is a text": {"exp": "9999999999"},
    "an expiry that is infinite": {"exp": float("inf")},
    "a negative time": {"auth_time": -1},
    "no user": {"user": None},
    "a user without a subject": {"user": {"version": 1}},
    "methods that are a number": {"amr": 7},
    "no session": {"sid": ...},
}


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS)
def test_a_signed_record_with_claims_of_another_form_is_malformed(changes) -> None:
    with pytest.raises(MalformedRecord):
        verify_record(_with_claims(**changes), TRUSTED)


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b"{}", b"{", b"\xff", b"[" * 5000])
def test_a_signed_record_that_is_no_object_is_malformed(body: bytes) -> None:
    payload = b".".join((FORMAT, TRUSTED[0][0].encode(), base64_encode(body)))

    with pytest.raises(MalformedRecord):
        verify_record(_signed(payload), TRUSTED)


def test_claims_that_a_newer_portal_adds_are_ignored() -> None:
    assert verify_record(_with_claims(acr="high"), TRUSTED) == IDENTITY


def test_a_record_signed_by_an_unknown_key_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()

    with pytest.raises(UnknownKey):
        verify_record(testing.sign_record(IDENTITY, stranger), TRUSTED)


def test_a_record_whose_key_id_was_swapped_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    forged = testing.sign_record(IDENTITY, stranger).replace(
        _public(stranger)[0].encode(), TRUSTED[0][0].encode()
    )

    with pytest.raises(BadSignature):
        verify_record(forged, TRUSTED)


def test_a_record_that_was_verified_is_refused_once_its_key_is_retired() -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    record = testing.sign_record(IDENTITY, old)

    both = verify_record(record, (_public(new), _public(old)))

    assert both == IDENTITY
    with pytest.raises(UnknownKey):
        verify_record(record, (_public(new),))


def test_a_record_copied_from_another_session_opens_nothing() -> None:
    with pytest.raises(WrongSession):
        verify_identity(RECORD, mint_token(), TRUSTED, NOW)


def test_knowing_the_sid_is_not_knowing_the_secret() -> None:
    guess = SessionToken(sid=TOKEN.sid, secret=mint_token().secret)

    with pytest.raises(WrongSecret):
        verify_identity(RECORD, guess, TRUSTED, NOW)


def test_the_binding_itself_is_not_the_secret() -> None:
    with pytest.raises(WrongSecret):
        verify_identity(RECORD, SessionToken(sid=TOKEN.sid, secret=IDENTITY.bind), TRUSTED, NOW)


def test_a_session_ends_on_the_second_of_its_absolute_expiry() -> None:
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


def test_a_refusal_is_not_remembered() -> None:
    stranger = Ed25519PrivateKey.generate()
    record = testing.sign_record(IDENTITY, stranger)
    with pytest.raises(UnknownKey):
        verify_record(record, TRUSTED)

    assert verify_record(record, (*TRUSTED, _public(stranger))) == IDENTITY


# --- the portal's answers ------------------------------------------------------------------------


def test_a_signature_over_an_answer_verifies_that_answer_alone() -> None:
    signature = testing._private_key.sign(b"sso.response\nbody")

    verify_detached(b"sso.response\nbody", TRUSTED[0][0], signature, TRUSTED)

    with pytest.raises(BadSignature):
        verify_detached(b"sso.response\nBody", TRUSTED[0][0], signature, TRUSTED)
    with pytest.raises(UnknownKey):
        verify_detached(b"sso.response\nbody", "unknown", signature, TRUSTED)


def test_a_signature_over_an_answer_can_never_pass_for_that_of_a_record() -> None:
    payload, _, signature = RECORD.rpartition(b".")

    with pytest.raises(ValueError, match="look like a record"):
        verify_detached(payload, TRUSTED[0][0], base64_decode(signature), TRUSTED)
