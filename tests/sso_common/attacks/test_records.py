"""Attacks with identity records that the portal did not sign for this session.

Each attacker has already got past the Redis ACL: the signature alone must hold.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from itsdangerous import Signer

from sso_common import conf, identity, store, testing
from sso_common.identity import Identity, encode_payload
from sso_common.keys import derive, key_id
from sso_common.record_cache import RecordCache
from sso_common.tokens import SessionToken, mint_token
from tests.sso_common.tools import record_name, sets_no_cookie, sign_in

from .browsers import assert_opens_nothing, browser_with_token


@pytest.fixture
def own(valkey) -> SessionToken:
    """The attacker's own session token, whose record the attacker writes."""
    return mint_token()


def admin(token: SessionToken) -> Identity:
    """The identity that the attacker would like to have."""
    return testing.make_identity(token, "admin", roles=["staff"])


def key_and_id(private_key: Ed25519PrivateKey) -> tuple[str, bytes]:
    raw = private_key.public_key().public_bytes_raw()
    return key_id(raw), raw


def test_attack_record_copied_to_another_session_opens_nothing(
    victim: SessionToken, own: SessionToken
) -> None:
    testing.store_record(own.sid, store.client().get(record_name(victim)))

    assert_opens_nothing(browser_with_token(own.value))


def test_attack_record_copied_over_the_victims_opens_nothing(victim: SessionToken) -> None:
    store.client().copy(record_name(sign_in("mallory")), record_name(victim), replace=True)

    assert_opens_nothing(browser_with_token(victim.value))


@pytest.mark.parametrize(
    "seed",
    [
        lambda keys: keys.secret,
        lambda keys: keys.request_key,
        lambda keys: derive(keys.secret, "identity"),
        lambda keys: derive(keys.secret, "ed25519"),
    ],
    ids=["secret", "request key", "derived for identity", "derived for ed25519"],
)
def test_attack_record_signed_with_a_key_of_the_site_opens_nothing(own: SessionToken, seed) -> None:
    """An attacker who has a site's keys cannot sign for the portal."""
    key = Ed25519PrivateKey.from_private_bytes(seed(conf.dsn().site_keys[0]))
    testing.store_record(own.sid, testing.sign_record(admin(own), key))

    assert_opens_nothing(browser_with_token(own.value))


def test_attack_record_signed_with_an_unknown_key_opens_nothing(own: SessionToken) -> None:
    testing.store_record(own.sid, testing.sign_record(admin(own), Ed25519PrivateKey.generate()))

    assert_opens_nothing(browser_with_token(own.value))


def test_attack_unknown_key_under_the_portals_key_id_opens_nothing(own: SessionToken) -> None:
    unknown = Ed25519PrivateKey.generate()
    record = testing.sign_record(admin(own), unknown)
    kid = key_and_id(unknown)[0].encode()
    testing.store_record(own.sid, record.replace(kid, testing.PUBLIC_KEY[0].encode()))

    assert_opens_nothing(browser_with_token(own.value))


def test_attack_record_signed_with_a_retired_key_opens_nothing(own: SessionToken, settings) -> None:
    retired = Ed25519PrivateKey.generate()
    settings.SSO_DSN = str(replace(conf.dsn(), public_keys=(testing.PUBLIC_KEY, key_and_id(retired))))
    testing.store_record(own.sid, testing.sign_record(admin(own), retired))
    assert browser_with_token(own.value).get("/identity/").json() != {}

    settings.SSO_DSN = str(replace(conf.dsn(), public_keys=(testing.PUBLIC_KEY,)))

    assert_opens_nothing(browser_with_token(own.value))


@pytest.mark.parametrize("derivation", ["none", "django-concat"])
def test_attack_public_key_as_a_symmetric_key_opens_nothing(own: SessionToken, derivation: str) -> None:
    """The classic attack on JWT, against verifiers that let the record choose the algorithm."""
    kid, public_key = testing.PUBLIC_KEY
    signer = Signer(public_key, salt=b"", sep=b".", key_derivation=derivation)
    testing.store_record(own.sid, signer.sign(encode_payload(admin(own), kid)))

    assert_opens_nothing(browser_with_token(own.value))


@pytest.mark.parametrize("signature", [b"", b"A" * 86, b"none", b"."])
def test_attack_record_without_a_signature_opens_nothing(own: SessionToken, signature: bytes) -> None:
    payload = testing.sign_record(admin(own)).rpartition(b".")[0]
    testing.store_record(own.sid, payload + b"." + signature)

    assert_opens_nothing(browser_with_token(own.value))


def test_attack_record_with_changed_roles_opens_nothing(victim: SessionToken) -> None:
    parts = store.client().get(record_name(victim)).split(b".")
    body = base64.urlsafe_b64decode(parts[2] + b"==")
    assert b'"staff"' in body
    parts[2] = base64.urlsafe_b64encode(body.replace(b'"staff"', b'"admin"')).rstrip(b"=")
    testing.store_record(victim.sid, b".".join(parts))

    assert_opens_nothing(browser_with_token(victim.value))


def test_attack_value_of_another_type_in_place_of_the_record_is_503(victim: SessionToken) -> None:
    store.client().unlink(record_name(victim))
    store.client().hset(record_name(victim), "a", "1")

    response = browser_with_token(victim.value).get("/user/")

    assert response.status_code == 503
    assert sets_no_cookie(response)


def test_attack_flood_of_forged_records_does_not_fill_the_cache(
    victim: SessionToken, own: SessionToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "verified", RecordCache())
    browser_with_token(victim.value).get("/identity/")
    before = identity.verified.size

    for number in range(50):
        testing.store_record(own.sid, b"sso1.%s.x.y%d" % (testing.PUBLIC_KEY[0].encode(), number))
        browser_with_token(own.value).get("/identity/")

    assert before > 0
    assert identity.verified.size == before
