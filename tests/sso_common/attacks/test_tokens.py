"""Attacks with session tokens and session keys that the site must not accept."""

from __future__ import annotations

import base64
import string

import pytest
from django.test import Client

from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken, mint_token
from tests.sso_common.tools import end, has_identity, names_in_redis, sign_in

from .browsers import assert_opens_nothing, browser_with_key, browser_with_token


def other_spare_bits(value: str) -> str:
    """Replace the last character by one that decodes to the same bytes: base64 that is not canonical."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    last = alphabet[alphabet.index(value[-1]) + 1]
    assert base64.urlsafe_b64decode(value[23:] + "=") == base64.urlsafe_b64decode(value[23:-1] + last + "=")
    return value[:-1] + last


CHANGES = {
    "truncated": lambda value: value[:-1],
    "truncated secret": lambda value: value[:30],
    "only the sid": lambda value: value[:22],
    "empty": lambda value: "",
    "oversized": lambda value: value + "A" * 4000,
    "oversized by one": lambda value: value + "A",
    "other spare bits": other_spare_bits,
    "padding": lambda value: value + "=",
    "capitals": str.upper,
    "percent encoding": lambda value: value.replace(".", "%2E"),
    "standard alphabet": lambda value: value[:-2] + "+/",
    "full-width digits": lambda value: value[:-1] + "\uff10".encode().decode("latin-1"),
    "line feed": lambda value: value + "\\012",
    "two dots": lambda value: value + ".x",
    "secret first": lambda value: value[23:] + "." + value[:22],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_attack_changed_token_opens_nothing(victim: SessionToken, change) -> None:
    assert_opens_nothing(browser_with_token(change(victim.value)))
    assert has_identity(victim)


def test_attack_sid_from_a_log_with_a_guessed_secret_opens_nothing(victim: SessionToken, caplog) -> None:
    forged = SessionToken(sid=victim.sid, secret=mint_token().secret)

    assert_opens_nothing(browser_with_token(forged.value))

    assert "secret does not open" in caplog.text
    assert SessionStore(token=victim)["private"] == "of anna"


def test_attack_binding_from_a_dump_of_redis_opens_nothing(victim: SessionToken) -> None:
    assert_opens_nothing(browser_with_token(f"{victim.sid}.{victim.bind}"))


def test_attack_token_that_was_never_issued_opens_and_stores_nothing(victim: SessionToken) -> None:
    before = names_in_redis()

    assert_opens_nothing(browser_with_token(mint_token().value))

    assert names_in_redis() == before


def test_attack_token_made_of_two_sessions_opens_nothing(victim: SessionToken) -> None:
    own = sign_in("mallory")

    assert_opens_nothing(browser_with_token(f"{victim.sid}.{own.secret}"))
    assert_opens_nothing(browser_with_token(f"{own.sid}.{victim.secret}"))


def test_attack_wrong_secret_does_not_sign_the_victim_out(victim: SessionToken) -> None:
    attacker = browser_with_token(f"{victim.sid}.{mint_token().secret}")

    attacker.post("/sso/logout/")
    attacker.get("/sign-out/")
    attacker.get("/flush/")

    assert has_identity(victim)
    assert SessionStore(token=victim)["private"] == "of anna"


def test_attack_replayed_token_after_sign_out_opens_nothing(victim: SessionToken) -> None:
    end(victim)

    assert_opens_nothing(browser_with_token(victim.value))


def test_attack_next_user_of_a_shared_browser_finds_no_data(victim: SessionToken) -> None:
    client = browser_with_token(victim.value)
    assert client.get("/show/").json() == {"private": "of anna"}
    client.post("/sso/logout/")
    client = browser_with_token(sign_in("bert").value, client)

    assert client.get("/user/").content == b"bert"
    assert client.get("/show/").json() == {}


# --- anonymous session keys ------------------------------------------------------------------


def test_attack_sid_as_an_anonymous_session_key_opens_nothing(victim: SessionToken) -> None:
    """The ``session_key`` of a signed-in session is not a secret."""
    assert_opens_nothing(browser_with_key(victim.sid))


@pytest.mark.parametrize("key", ["{x}:identity", "*", "sso-test:{x}:identity", "a" * 4096, "..%2f..%2f"])
def test_attack_session_key_that_names_another_redis_key_changes_nothing(
    victim: SessionToken, key: str
) -> None:
    attacker: Client = browser_with_key(key.replace("x", victim.sid))

    attacker.get("/put/?a=1")
    attacker.get("/flush/")

    assert has_identity(victim)
    assert SessionStore(token=victim)["private"] == "of anna"
