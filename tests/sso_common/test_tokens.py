"""The session token: the value of the SSO cookie has one spelling, or it is malformed."""

from __future__ import annotations

import base64
import hashlib
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sso_common.exceptions import MalformedToken
from sso_common.tokens import SessionToken, mint_token, parse_token

BASE64URL = string.ascii_letters + string.digits + "-_"

tokens = st.builds(
    lambda sid, secret: SessionToken(encode(sid), encode(secret)),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
)


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def test_minted_token_has_128_and_256_random_bits() -> None:
    token = mint_token()

    assert len(decode(token.sid)) == 16
    assert len(decode(token.secret)) == 32
    assert len(token.value) == 66


def test_minted_tokens_differ_in_both_parts() -> None:
    minted = [mint_token() for _ in range(200)]

    assert len({token.sid for token in minted}) == len({token.secret for token in minted}) == 200


def test_binding_is_a_hash_of_the_secret() -> None:
    token = mint_token()

    assert token.bind == encode(hashlib.sha256(token.secret.encode()).digest())
    assert token.secret not in token.bind


def test_repr_of_a_token_shows_no_secret() -> None:
    token = mint_token()

    assert token.secret not in repr(token)
    assert token.secret not in f"{token} {[token]}"


@given(tokens)
def test_value_of_a_token_parses_to_the_same_token(token: SessionToken) -> None:
    assert parse_token(token.value) == token


@given(st.text(max_size=120) | st.text(alphabet=BASE64URL + ".", min_size=60, max_size=72))
@example("")
@example(".")
@example("A" * 22 + "." + "A" * 43 + "\n")
@example("A" * 22 + "." + "A" * 43 + ".")
@example("\uff21" * 22 + "." + "A" * 43)
def test_any_text_is_a_canonical_token_or_malformed(text: str) -> None:
    try:
        token = parse_token(text)
    except MalformedToken:
        return

    assert token.value == text
    assert encode(decode(token.sid)) == token.sid
    assert encode(decode(token.secret)) == token.secret


@given(tokens, st.data())
def test_attack_other_spelling_never_names_the_same_session(token: SessionToken, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(token.value) - 1))
    replacement = data.draw(st.sampled_from(BASE64URL + "=.+/ \t"))
    changed = token.value[:position] + replacement + token.value[position + 1 :]
    if changed == token.value:
        return

    try:
        parsed = parse_token(changed)
    except MalformedToken:
        return

    assert (decode(parsed.sid), decode(parsed.secret)) != (decode(token.sid), decode(token.secret))


@pytest.mark.parametrize("end", [22, 66], ids=["sid", "secret"])
def test_attack_token_with_other_spare_bits_is_malformed(end: int) -> None:
    value = mint_token().value
    part = value[:22] if end == 22 else value[23:]
    same_bytes = [each for each in BASE64URL if decode(part[:-1] + each) == decode(part)]
    assert len(same_bytes) == {22: 16, 66: 4}[end]

    for each in same_bytes:
        changed = value[: end - 1] + each + value[end:]
        if changed != value:
            with pytest.raises(MalformedToken):
                parse_token(changed)


DAMAGE = {
    "cut": lambda value: value[:-1],
    "longer": lambda value: value + "A",
    "padded": lambda value: value + "=",
    "no dot": lambda value: value.replace(".", ""),
    "two dots": lambda value: value.replace(".", ".."),
    "another separator": lambda value: value.replace(".", ":"),
    "a space before it": lambda value: f" {value}",
    "quoted": lambda value: f'"{value}"',
    "no secret": lambda value: value.partition(".")[0],
    "reversed": lambda value: ".".join(reversed(value.split("."))),
    "oversized": lambda value: value * 1000,
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_damaged_token_is_malformed(spoil) -> None:
    with pytest.raises(MalformedToken):
        parse_token(spoil(mint_token().value))


def test_error_of_a_malformed_token_does_not_show_it() -> None:
    value = mint_token().value + "!"

    with pytest.raises(MalformedToken) as caught:
        parse_token(value)

    assert value[:10] not in str(caught.value)
