"""The SSO cookie's value is exactly what the portal mints, or it is nothing."""

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
    lambda sid, secret: SessionToken(_encode(sid), _encode(secret)),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def test_a_minted_token_holds_128_and_256_bits() -> None:
    token = mint_token()

    assert len(_decode(token.sid)) == 16
    assert len(_decode(token.secret)) == 32
    assert len(token.value) == 66


def test_no_two_minted_tokens_share_anything() -> None:
    minted = [mint_token() for _ in range(200)]

    assert len({token.sid for token in minted}) == len({token.secret for token in minted}) == 200


def test_the_record_keeps_a_hash_of_the_secret_and_never_the_secret() -> None:
    token = mint_token()

    assert token.bind == _encode(hashlib.sha256(token.secret.encode()).digest())
    assert token.secret not in token.bind


def test_a_token_in_a_log_shows_no_secret() -> None:
    token = mint_token()

    assert token.secret not in repr(token)
    assert token.secret not in f"{token} {[token]}"


@given(tokens)
def test_what_is_minted_is_parsed(token: SessionToken) -> None:
    assert parse_token(token.value) == token


@given(st.text(max_size=120) | st.text(alphabet=BASE64URL + ".", min_size=60, max_size=72))
@example("")
@example(".")
@example("A" * 22 + "." + "A" * 43 + "\n")
@example("A" * 22 + "." + "A" * 43 + ".")
@example("\uff21" * 22 + "." + "A" * 43)
def test_a_text_is_a_token_in_one_spelling_or_none(text: str) -> None:
    try:
        token = parse_token(text)
    except MalformedToken:
        return

    assert token.value == text
    assert _encode(_decode(token.sid)) == token.sid
    assert _encode(_decode(token.secret)) == token.secret


@given(tokens, st.data())
def test_no_other_spelling_opens_the_same_session(token: SessionToken, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(token.value) - 1))
    replacement = data.draw(st.sampled_from(BASE64URL + "=.+/ \t"))
    changed = token.value[:position] + replacement + token.value[position + 1 :]
    if changed == token.value:
        return

    try:
        parsed = parse_token(changed)
    except MalformedToken:
        return

    assert (_decode(parsed.sid), _decode(parsed.secret)) != (_decode(token.sid), _decode(token.secret))


@pytest.mark.parametrize("end", [22, 66], ids=["sid", "secret"])
def test_the_spare_bits_of_the_last_character_are_zero_or_it_is_no_token(end: int) -> None:
    value = mint_token().value
    part = value[:22] if end == 22 else value[23:]
    same_bytes = [each for each in BASE64URL if _decode(part[:-1] + each) == _decode(part)]
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
    "turned round": lambda value: ".".join(reversed(value.split("."))),
    "oversized": lambda value: value * 1000,
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_token_is_malformed(spoil) -> None:
    with pytest.raises(MalformedToken):
        parse_token(spoil(mint_token().value))


def test_a_malformed_token_is_not_quoted_in_the_error() -> None:
    value = mint_token().value + "!"

    with pytest.raises(MalformedToken) as caught:
        parse_token(value)

    assert value[:10] not in str(caught.value)
