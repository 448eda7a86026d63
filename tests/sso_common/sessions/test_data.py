"""Django's contract for session data: read, change and clear it."""

from __future__ import annotations

from typing import Any

import django
import pytest
from django.contrib.sessions.backends.base import SessionBase

from sso_common.sessions import SessionStore
from tests.sso_common.tools import names_in_redis

from .variants import Do, Mode, SignedIn


def reset_flags(session: SessionStore) -> None:
    """Set the flags of a session as they are at the start of a request."""
    session.accessed = session.modified = False


# --- a new session ---------------------------------------------------------------------------


def test_session_store_is_one_of_djangos() -> None:
    assert issubclass(SessionStore, SessionBase)
    assert SessionStore().key_salt == "django.contrib.sessions.SessionStore"


def test_new_session_is_neither_accessed_nor_modified(session: SessionStore) -> None:
    assert session.accessed is False
    assert session.modified is False


def test_new_session_is_empty_until_it_has_data() -> None:
    session = SessionStore()
    assert session.is_empty()

    session["a"] = 1
    assert not session.is_empty()


def test_presented_session_is_not_empty_before_it_is_read(session: SessionStore, mode: Mode) -> None:
    session.save()

    assert not mode.next_request(session).is_empty()


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.1 gave sessions a truth value")
def test_session_is_true_unless_it_is_empty(mode: Mode) -> None:
    assert not SessionStore()

    session = mode.new_session()
    session["a"] = 1

    assert session


async def test_loading_an_unknown_key_stores_nothing(do: Do) -> None:
    session = SessionStore("some-unknown-key")

    assert await do(session, "load") == {}

    assert session.session_key is None
    assert names_in_redis() == set()


async def test_reading_a_signed_in_session_stores_nothing(do: Do) -> None:
    session = SignedIn().new_session()
    before = names_in_redis()

    await do(session, "get", "cat")

    assert names_in_redis() == before


# --- reading and changing --------------------------------------------------------------------


async def test_get_returns_the_default_for_a_missing_key(session: SessionStore, do: Do) -> None:
    assert await do(session, "get", "cat") is None
    assert await do(session, "get", "cat", "tom") == "tom"
    assert session.accessed is True
    assert session.modified is False


def test_subscripting_a_missing_key_raises_key_error(session: SessionStore) -> None:
    with pytest.raises(KeyError):
        session["cat"]
    with pytest.raises(KeyError):
        del session["cat"]


async def test_set_keeps_a_value(session: SessionStore, do: Do) -> None:
    await do(session, "set", "cat", "dog")

    assert session.accessed is True
    assert session.modified is True
    assert await do(session, "get", "cat") == "dog"
    assert session["cat"] == "dog"


async def test_pop_removes_and_returns_a_value(session: SessionStore, do: Do) -> None:
    await do(session, "set", "some key", "exists")
    reset_flags(session)

    assert await do(session, "pop", "some key") == "exists"
    assert session.accessed is True
    assert session.modified is True
    assert await do(session, "get", "some key") is None


@pytest.mark.parametrize("default", ["dog", None])
async def test_pop_returns_the_default_for_a_missing_key(
    session: SessionStore, do: Do, default: str | None
) -> None:
    assert await do(session, "pop", "missing", default=default) == default
    assert await do(session, "pop", "missing", default) == default
    assert session.accessed is True
    assert session.modified is False


async def test_pop_of_a_missing_key_without_default_raises_key_error(session: SessionStore, do: Do) -> None:
    with pytest.raises(KeyError):
        await do(session, "pop", "missing")


async def test_setdefault_sets_a_value_once(session: SessionStore, do: Do) -> None:
    assert await do(session, "setdefault", "foo", "bar") == "bar"
    assert session.modified is True
    reset_flags(session)

    assert await do(session, "setdefault", "foo", "baz") == "bar"
    assert session.accessed is True
    assert session.modified is False


async def test_update_changes_several_keys(session: SessionStore, do: Do) -> None:
    await do(session, "update", {"one": 1, "two": 2})

    assert session.accessed is True
    assert session.modified is True
    assert dict(await do(session, "items")) == {"one": 1, "two": 2}


async def test_has_key_modifies_nothing(session: SessionStore, do: Do) -> None:
    await do(session, "set", "cat", 1)
    reset_flags(session)

    assert await do(session, "has_key", "cat") is True
    assert await do(session, "has_key", "dog") is False
    assert "cat" in session
    assert "dog" not in session
    assert session.accessed is True
    assert session.modified is False


@pytest.mark.parametrize(
    ("verb", "expected"), [("keys", ["x"]), ("values", [1]), ("items", [("x", 1)])], ids=str
)
async def test_listing_the_data_modifies_nothing(
    session: SessionStore, do: Do, verb: str, expected: list[Any]
) -> None:
    assert list(await do(session, verb)) == []
    await do(session, "set", "x", 1)
    reset_flags(session)

    assert list(await do(session, verb)) == expected
    assert session.accessed is True
    assert session.modified is False


async def test_clear_empties_the_session_and_modifies_it(session: SessionStore, do: Do) -> None:
    await do(session, "set", "x", 1)
    reset_flags(session)

    session.clear()

    assert list(await do(session, "items")) == []
    assert session.accessed is True
    assert session.modified is True


async def test_test_cookie_works_from_set_to_delete(session: SessionStore, do: Do) -> None:
    assert await do(session, "test_cookie_worked") is False
    await do(session, "set_test_cookie")
    assert await do(session, "test_cookie_worked") is True
    await do(session, "delete_test_cookie")

    assert SessionBase.TEST_COOKIE_NAME not in session
