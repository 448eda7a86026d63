"""Django's contract for ``exists``, ``delete`` and ``flush``."""

from __future__ import annotations

import pytest

from sso_common.sessions import SessionStore

from .variants import Do, Mode, SignedIn, save_session


@pytest.mark.parametrize("key", ["never-was-a-session", None, ""], ids=["unknown", "none", "empty"])
async def test_exists_is_false_for_an_unknown_key(session: SessionStore, do: Do, key: str | None) -> None:
    assert not await do(session, "exists", key)


async def test_delete_removes_the_session_with_this_key(do: Do) -> None:
    session = SessionStore()
    await do(session, "save")
    await do(session, "delete", session.session_key)

    assert not await do(session, "exists", session.session_key)


async def test_delete_without_a_key_removes_the_current_session(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "set", "a", 1)
    await do(session, "save")

    await do(session, "delete")

    assert not mode.is_stored(session)


async def test_delete_with_an_empty_key_removes_nothing(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "a", 1)
    await do(session, "save")

    await do(session, "delete", "")

    assert mode.is_stored(session)


async def test_delete_of_an_unsaved_session_is_no_error(session: SessionStore, do: Do) -> None:
    await do(session, "delete")

    assert session.modified is False


def test_save_after_delete_writes_all_data_of_a_signed_in_session() -> None:
    mode = SignedIn()
    session = save_session(mode, a=1, b=2)

    session.delete()
    session["c"] = 3
    session.save()

    assert dict(mode.next_request(session).items()) == {"a": 1, "b": 2, "c": 3}


async def test_flush_deletes_an_anonymous_session_and_its_key(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "foo", "bar")
    await do(session, "save")
    previous = session.session_key

    await do(session, "flush")

    assert not await do(session, "exists", previous)
    assert session.session_key is None
    assert session.modified is True
    assert session.accessed is True
    assert session.is_empty()


async def test_flush_deletes_the_data_and_signs_no_user_out(do: Do) -> None:
    mode = SignedIn()
    session = mode.new_session()
    await do(session, "set", "foo", "bar")
    await do(session, "save")

    await do(session, "flush")

    assert not mode.is_stored(session)
    assert dict(await do(mode.next_request(session), "items")) == {}
    assert mode.next_request(session).identity is not None


async def test_flushed_session_can_be_used_again(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "old", 1)
    await do(session, "save")
    await do(session, "flush")
    await do(session, "set", "new", 2)
    await do(session, "save")

    assert dict(await do(mode.next_request(session), "items")) == {"new": 2}


async def test_clear_expired_has_nothing_to_do(do: Do) -> None:
    assert await do(SessionStore, "clear_expired") is None
