"""Derived keys are independent of each other, and never change."""

from __future__ import annotations

import itertools
import secrets

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from sso_common.keys import KEY_BYTES, SiteKeys, derive, key_id

SECRET = bytes(range(32))
labels = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


def test_derivation_never_changes() -> None:
    """Or every site is locked out."""
    expected = HKDF(SHA256(), 32, salt=b"sso_common/1", info=b"site:a\x002").derive(SECRET)

    assert derive(SECRET, "site:a", 2) == expected


@given(st.tuples(labels, st.integers(0, 99)), st.tuples(labels, st.integers(0, 99)))
def test_each_label_and_generation_derives_another_key(one, other) -> None:
    assert (derive(SECRET, *one) == derive(SECRET, *other)) == (one == other)


def test_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        derive(b"x" * (KEY_BYTES - 1), "anything")


def test_keys_of_a_site_have_nothing_in_common() -> None:
    keys, other = SiteKeys(SECRET), SiteKeys(SECRET[::-1])

    derived = [
        each
        for site in (keys, other)
        for each in (
            site.secret,
            site.django_secret_key.encode(),
            site.request_key,
            site.redis_password.encode(),
        )
    ]

    assert len(set(derived)) == 8
    assert not any(one in two for one, two in itertools.permutations(derived, 2))


def test_repr_of_site_keys_shows_no_secret() -> None:
    assert "secret" not in repr(SiteKeys(SECRET))
    assert str(SECRET) not in repr(SiteKeys(SECRET))


def test_key_id_is_eight_characters_derived_from_the_key() -> None:
    key, other = secrets.token_bytes(32), secrets.token_bytes(32)

    assert key_id(key) == key_id(bytes(key)) != key_id(other)
    assert len(key_id(key)) == 8
