"""Who is signed in, and what a visitor without a valid session token may read and write."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sso_common import store, testing
from sso_common.sessions import SessionStore
from sso_common.store import MARKER
from sso_common.tokens import SessionToken, mint_token
from tests.servers import VALKEY_URL
from tests.sso_common.tools import end, site_name

from .variants import save_anonymous


def test_session_token_opens_its_session(token: SessionToken) -> None:
    session = SessionStore(token=token)

    assert session.identity.user.username == "anna"
    assert session.session_key == token.sid
    assert session.refusal is None


# --- refusals --------------------------------------------------------------------------------


def store_identity(token: SessionToken, **changes: Any) -> None:
    """Store a validly signed record with other claims."""
    identity = replace(testing.make_identity(token), **changes)
    testing.store_record(token.sid, testing.sign_record(identity))


def sign_with_unknown_key(token: SessionToken) -> None:
    record = testing.sign_record(testing.make_identity(token), Ed25519PrivateKey.generate())
    testing.store_record(token.sid, record)


def deactivate(token: SessionToken) -> None:
    store_identity(token, user=replace(testing.make_identity(token).user, is_active=False))


def end_all_sessions(token: SessionToken) -> None:
    identity = testing.make_identity(token)
    store_identity(token, user=replace(identity.user, not_before=identity.auth_time + 1))


#: Reason -> what makes a site refuse the session with this reason.
REFUSALS = {
    "ended": end,
    "expired": lambda token: store_identity(token, exp=int(time.time())),
    "revoked": end_all_sessions,
    "inactive": deactivate,
    "not-admitted": lambda token: store_identity(token, sites={"site_b": frozenset({"admin"})}),
    "malformed-record": lambda token: testing.store_record(token.sid, b"{}"),
    "unknown-key": sign_with_unknown_key,
    "bad-signature": lambda token: testing.store_record(
        token.sid, testing.sign_record(testing.make_identity(token))[:-9] + b"AAAAAAAAA"
    ),
    "wrong-session": lambda token: testing.store_record(
        token.sid, testing.sign_record(testing.make_identity(mint_token()))
    ),
    "wrong-secret": lambda token: store_identity(token, bind=mint_token().bind),
}
UNTRUSTED = {"malformed-record", "unknown-key", "bad-signature", "wrong-session", "wrong-secret"}


@pytest.mark.parametrize(("reason", "spoil"), REFUSALS.items(), ids=REFUSALS)
def test_refused_session_logs_the_reason(token: SessionToken, reason: str, spoil, caplog) -> None:
    caplog.set_level(logging.INFO)
    spoil(token)

    session = SessionStore(token=token)

    assert session.identity is None
    assert session.known_identity is None
    assert session.session_key is None
    assert session.refusal.reason == reason
    (line,) = [each for each in caplog.records if getattr(each, "reason", "") == reason]
    assert line.name == ("django.security.sso" if reason in UNTRUSTED else "sso_common.session")


@pytest.mark.parametrize("spoil", REFUSALS.values(), ids=REFUSALS)
def test_refused_session_is_neither_read_nor_written(token: SessionToken, spoil) -> None:
    before = SessionStore(token=token)
    before["private"] = 1
    before.save()
    spoil(token)

    session = SessionStore(token=token)
    assert "private" not in session
    session["mine"] = 2
    session.save()

    assert set(store.client().hkeys(site_name(token))) == {MARKER, b"private"}
    assert session.session_key not in (None, token.sid)


@pytest.mark.parametrize("spoil", REFUSALS.values(), ids=REFUSALS)
def test_refused_visitor_keeps_the_anonymous_session(token: SessionToken, spoil) -> None:
    key = save_anonymous(cart=[1])
    spoil(token)

    session = SessionStore(key, token=token)

    assert session["cart"] == [1]
    assert session.session_key == key
    assert not session.is_cookie_stale


# --- sites and namespaces are apart ----------------------------------------------------------


def test_site_does_not_see_the_data_of_another_site(token: SessionToken, settings) -> None:
    at_a = SessionStore(token=token)
    at_a["private"] = "of site_a"
    at_a.save()
    testing.store_record(
        token.sid, testing.sign_record(testing.make_identity(token, sites={"site_a": [], "site_b": []}))
    )

    settings.SSO_DSN = testing.make_dsn("site_b", VALKEY_URL)
    at_b = SessionStore(token=token)

    assert at_b.identity is not None
    assert dict(at_b.items()) == {}


def test_site_does_not_see_the_anonymous_sessions_of_another_site(settings) -> None:
    key = save_anonymous(private=1)

    settings.SSO_DSN = testing.make_dsn("site_b", VALKEY_URL)

    assert dict(SessionStore(key).items()) == {}


def test_session_is_unknown_in_another_namespace(token: SessionToken, settings) -> None:
    settings.SSO_DSN = testing.make_dsn("site_a", VALKEY_URL, namespace="staging")

    assert SessionStore(token=token).identity is None
