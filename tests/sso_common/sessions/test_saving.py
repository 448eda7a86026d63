"""Django's contract for saving and creating a session."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from sso_common.flows import Flow
from sso_common.sessions import CreateError, SessionStore

from .variants import Do, Mode, SignedIn


async def test_save_stores_the_data_under_a_session_key(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "a", "b")

    await do(session, "save")

    assert session.session_key
    assert mode.is_stored(session)
    assert await do(session, "get", "a") == "b"
    assert await do(mode.next_request(session), "get", "a") == "b"


async def test_empty_session_can_be_saved(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "save")

    later = mode.next_request(session)
    assert dict(await do(later, "items")) == {}
    assert later.session_key == session.session_key


async def test_save_deletes_what_was_popped(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "update", {"a": 1, "b": 2})
    await do(session, "save")
    later = mode.next_request(session)
    await do(later, "pop", "a")
    await do(later, "save")

    assert dict(await do(mode.next_request(session), "items")) == {"b": 2}


async def test_save_replaces_everything_after_clear(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "update", {"a": 1, "b": 2})
    await do(session, "save")
    later = mode.next_request(session)
    later.clear()
    await do(later, "set", "c", 3)
    await do(later, "save")

    assert dict(await do(mode.next_request(session), "items")) == {"c": 3}


async def test_nested_change_is_saved_once_modified_is_set(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "cart", {"lines": []})
    await do(session, "save")
    later = mode.next_request(session)

    (await do(later, "get", "cart"))["lines"].append("mug")
    later.modified = True
    await do(later, "save")

    assert await do(mode.next_request(session), "get", "cart") == {"lines": ["mug"]}


async def test_load_keeps_unsaved_changes(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "update", {"a": 1, "b": 1})
    await do(session, "save")
    await do(session, "set", "a", 2)

    assert await do(session, "load") == {"a": 1, "b": 1}
    assert await do(session, "get", "a") == 2
    await do(session, "save")

    assert dict(await do(mode.next_request(session), "items")) == {"a": 2, "b": 1}


# --- creating --------------------------------------------------------------------------------


async def test_create_stores_a_session_under_a_new_key(do: Do) -> None:
    session = SessionStore()

    await do(session, "create")

    assert await do(session, "exists", session.session_key)
    assert session.modified is True
    assert len(session.session_key) >= 32


async def test_create_keeps_the_sid_of_a_signed_in_session(do: Do) -> None:
    session = SignedIn().new_session()
    sid = session.session_key

    await do(session, "create")

    assert session.session_key == sid


async def test_save_with_must_create_refuses_an_existing_key(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "a", 1)
    await do(session, "save")
    other = SessionStore(session.session_key)
    await do(other, "set", "a", 2)

    with pytest.raises(CreateError):
        await do(other, "save", must_create=True)

    assert await do(SessionStore(session.session_key), "get", "a") == 1


async def test_session_that_failed_to_create_can_still_update(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "a", 1)
    await do(session, "save")
    with pytest.raises(CreateError):
        await do(session, "save", must_create=True)
    other = SessionStore(session.session_key)
    await do(other, "set", "b", 2)
    await do(other, "save")

    await do(session, "set", "a", 3)
    await do(session, "save")

    assert dict(await do(SessionStore(session.session_key), "items")) == {"a": 3, "b": 2}


class StampedStore(SessionStore):
    """A site's own engine, which overrides a flow."""

    def save_flow(self, must_create: bool = False) -> Flow[None]:
        self["stamp"] = 1
        yield from super().save_flow(must_create)


async def test_a_subclass_overrides_a_flow_for_sync_and_async_code() -> None:
    first, second = StampedStore(), StampedStore()

    await sync_to_async(first.save)()
    await second.asave()

    for store in (first, second):
        assert await SessionStore(store.session_key).aget("stamp") == 1
