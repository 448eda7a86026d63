"""Session keys: a key that was never issued is never used, and ``cycle_key`` replaces the key."""

from __future__ import annotations

import pytest

from sso_common.sessions import SessionStore

from .variants import Do, SignedIn


@pytest.mark.parametrize(
    "key", ["1", "12345678", "x" * 5000, "a\\b\\c\\d\\e", "../../etc/passwd", "\x00" * 9, "sso:*"]
)
@pytest.mark.parametrize("read", ["items", "load"])
async def test_attack_planted_session_key_is_never_used(do: Do, key: str, read: str) -> None:
    session = SessionStore(key)

    assert not await do(session, read)
    await do(session, "set", "cat", "dog")
    await do(session, "save")

    assert session.session_key not in (None, key)
    assert not await do(session, "exists", key)
    assert await do(SessionStore(session.session_key), "get", "cat") == "dog"


@pytest.mark.parametrize("key", ["", "1234567"], ids=["empty", "too short"])
def test_session_key_that_is_too_short_is_none(key: str) -> None:
    assert SessionStore(key).session_key is None


def test_presented_session_key_is_kept_until_the_session_is_read() -> None:
    assert SessionStore("12345678").session_key == "12345678"


def test_session_key_cannot_be_set(session: SessionStore) -> None:
    with pytest.raises(AttributeError):
        session.session_key = "something else"


# --- cycle_key -------------------------------------------------------------------------------


async def test_cycle_key_keeps_the_data_and_deletes_the_old_key(do: Do) -> None:
    session = SessionStore()
    await do(session, "update", {"a": "c", "b": "d"})
    await do(session, "save")
    previous = session.session_key
    before = list(await do(session, "items"))

    await do(session, "cycle_key")

    assert not await do(session, "exists", previous)
    assert session.session_key != previous
    assert list(await do(session, "items")) == before
    assert dict(await do(SessionStore(session.session_key), "items")) == {"a": "c", "b": "d"}


async def test_cycle_key_keeps_the_data_of_a_session_not_yet_read(do: Do) -> None:
    session = SessionStore()
    await do(session, "update", {"a": "c", "b": "d"})
    await do(session, "save")
    later = SessionStore(session.session_key)

    await do(later, "cycle_key")

    assert dict(await do(SessionStore(later.session_key), "items")) == {"a": "c", "b": "d"}
    assert not await do(later, "exists", session.session_key)


async def test_cycle_key_stores_a_new_session(do: Do) -> None:
    session = SessionStore()

    await do(session, "cycle_key")

    assert await do(session, "exists", session.session_key)


async def test_cycle_key_keeps_sid_and_data_of_a_signed_in_session(do: Do) -> None:
    mode = SignedIn()
    session = mode.new_session()
    await do(session, "set", "a", 1)
    await do(session, "save")
    sid = session.session_key

    await do(session, "cycle_key")
    await do(session, "save")

    assert session.session_key == sid
    assert session.modified is True
    assert await do(mode.next_request(session), "get", "a") == 1
