"""Keys are derived, rotate without signing users out, and are not shared between sites."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from io import StringIO

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from portal import keys
from portal.keys import Keyring, keyring_from, portal_dsn_from
from portal.registry import services as registry
from portal.registry.dsns import dsn_for
from portal.sessions import resigning
from portal.sessions.signing import sign_record
from sso_common import conf
from sso_common.dsn import parse_dsn
from sso_common.exceptions import UnknownKey, Untrusted
from sso_common.identity import verify_detached, verify_record
from tests.servers import VALKEY_URL

from .people import browser, identity_of, is_signed_in, person, sign_in, token_of

ROOT = {"SSO_ROOT_SECRET": "b2YtdGhlLXRlc3RzLW9mLXRoZS10ZXN0cy1vZi10aGUtdGVzdHM"}


@contextlib.contextmanager
def configured(**environment: str) -> Iterator[Keyring]:
    """The portal, restarted with other environment variables."""
    base = {**ROOT, "SSO_PORTAL_URL": "http://portal.sso.localhost", "SSO_REDIS_URL": VALKEY_URL}
    ring = keyring_from(base | environment)
    dsn = str(portal_dsn_from(base | environment, ring))
    secret, *fallbacks = conf.secret_keys(dsn)
    with override_settings(SSO_KEYRING=ring, SSO_DSN=dsn, SECRET_KEY=secret, SECRET_KEY_FALLBACKS=fallbacks):
        yield ring


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("sso_keys", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({}, "SSO_ROOT_SECRET"),
        ({"SSO_ROOT_SECRET": "c2hvcnQ"}, "SSO_ROOT_SECRET"),
        ({"SSO_ROOT_SECRET": "not base64url!" * 9}, "SSO_ROOT_SECRET"),
        (ROOT | {"SSO_SIGNING_KEYS": "2,x"}, "SSO_SIGNING_KEYS"),
        (ROOT | {"SSO_SIGNING_KEYS": "2,2"}, "SSO_SIGNING_KEYS"),
        (ROOT | {"SSO_SIGNING_KEYS": "0"}, "SSO_SIGNING_KEYS"),
        (ROOT | {"SSO_SIGNING_KEYS": "2", "SSO_SIGNING_KEY": "1"}, "SSO_SIGNING_KEY"),
        (ROOT | {"SSO_SIGNING_KEY": "x"}, "SSO_SIGNING_KEY"),
        (ROOT | {"SSO_PORTAL_KEYS": ","}, "SSO_PORTAL_KEYS"),
    ],
)
def test_wrong_key_configuration_is_reported_without_the_secret(
    environment: dict[str, str], word: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        keyring_from(environment)

    assert word in str(caught.value)
    assert environment.get("SSO_ROOT_SECRET", "?") not in str(caught.value)


def test_repr_of_a_keyring_contains_no_secret() -> None:
    ring = keyring_from(ROOT)

    assert "root" not in repr(ring)
    assert repr(ring.root) not in repr(ring)


def test_every_site_and_generation_has_its_own_secret() -> None:
    ring = keyring_from(ROOT)

    secrets = {ring.site_secret(name, number) for name in ("site_a", "site_b", "portal") for number in (1, 2)}

    assert len(secrets) == 6


def test_dsn_contains_neither_root_secret_nor_the_portals_redis_password() -> None:
    registry.register("site_a", "https://a.sso.localhost")

    text = str(dsn_for("site_a"))

    assert parse_dsn(text) == dsn_for("site_a")
    assert ROOT["SSO_ROOT_SECRET"] not in text
    assert "of-the-tests" not in text


def test_unknown_site_has_no_dsn() -> None:
    with pytest.raises(LookupError):
        dsn_for("site_x")


def test_detached_signature_is_verifiable_and_never_passes_for_a_record() -> None:
    kid, signature = keys.sign_detached(b"sso.response\nx")

    verify_detached(b"sso.response\nx", kid, signature, keys.keyring().public_keys)
    with pytest.raises(ValueError, match="record"):
        keys.sign_detached(b"sso1.x")
    with pytest.raises(Untrusted):
        verify_detached(b"sso.response\ny", kid, signature, keys.keyring().public_keys)


def test_signing_key_rotates_without_signing_users_out() -> None:
    person()
    registry.register("site_a", "https://a.sso.localhost")
    before, during = browser(), browser()
    sign_in(before)
    old_dsn = dsn_for("site_a")

    with configured(SSO_SIGNING_KEYS="2,1", SSO_SIGNING_KEY="1"):
        published_dsn = dsn_for("site_a")
        sign_in(during)
        # Sites with the old DSN and with the new one accept all sessions.
        for client in (before, during):
            record = sign_record(identity_of(token_of(client)))
            verify_record(record, old_dsn.public_keys)
            verify_record(record, published_dsn.public_keys)
            assert is_signed_in(client)

    with configured(SSO_SIGNING_KEYS="2,1", SSO_SIGNING_KEY="2") as ring:
        assert is_signed_in(before)
        with pytest.raises(CommandError, match="2 live sessions"):
            command("retire")
        assert command("resign") == f"2 live sessions are now signed with {ring.kid}.\n"
        assert "SSO_SIGNING_KEYS=2" in command("retire")
        record = sign_record(identity_of(token_of(before)))
        verify_record(record, published_dsn.public_keys)
        with pytest.raises(UnknownKey):
            verify_record(record, old_dsn.public_keys)

    with configured(SSO_SIGNING_KEYS="2"):
        assert is_signed_in(before)
        assert is_signed_in(during)
        assert dsn_for("site_a").public_keys == published_dsn.public_keys[:1]


def test_attack_record_signed_with_a_retired_key_opens_nothing() -> None:
    person()
    client = browser()
    sign_in(client)

    with configured(SSO_SIGNING_KEYS="2"):
        assert not is_signed_in(client)
        assert resigning.resign_all() == 0  # nor does re-signing make it valid
        assert not is_signed_in(client)


def test_attack_record_signed_with_a_sites_key_opens_nothing() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from portal.sessions.signing import SigningEd25519
    from sso_common.identity import encode_payload, record_signer
    from sso_common.keys import key_id

    person()
    client = browser()
    sign_in(client)
    registry.register("site_a", "https://a.sso.localhost")
    identity = identity_of(token_of(client))
    secret = dsn_for("site_a").secrets[0]
    own_kid = key_id(Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw())

    for kid in (own_kid, keys.keyring().kid):
        forged = record_signer(secret, SigningEd25519()).sign(encode_payload(identity, kid))
        with pytest.raises(Untrusted):
            verify_record(forged, keys.keyring().public_keys)


def test_rotation_of_the_portals_own_secret_keeps_its_forms_valid() -> None:
    with configured(SSO_PORTAL_KEYS="2,1") as ring:
        assert len({settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS}) == 2
        assert conf.dsn().secrets == (ring.site_secret("portal", 2), ring.site_secret("portal", 1))


def test_sso_keys_says_what_to_do_next() -> None:
    assert "SSO_SIGNING_KEYS=2,1 and SSO_SIGNING_KEY=1" in command("publish")
    with pytest.raises(CommandError, match="publish"):
        command("promote")
    with pytest.raises(CommandError, match="only one key"):
        command("retire")
    with configured(SSO_SIGNING_KEYS="2,1", SSO_SIGNING_KEY="1") as ring:
        assert "SSO_SIGNING_KEY=2" in command("promote")
        lines = command("list").splitlines()
    assert lines == [
        f"2\t{ring.public_key(2)[0]}\ttrusted\t0 live sessions",
        f"1\t{ring.public_key(1)[0]}\tsigns\t0 live sessions",
    ]
