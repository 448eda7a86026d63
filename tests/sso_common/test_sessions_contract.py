"""Django's contract for a session engine: what every site's code takes for granted.

Each promise is kept in four variants: for anonymous and for signed-in visitors, by the plain methods
and by the awaited ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import pytest
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.test import override_settings
from django.utils import timezone

from sso_common import store
from sso_common.sessions import CreateError, SessionStore
from tests.sso_common.tools import Anonymous, SignedIn, anonymous_name, names_in_redis

pytestmark = pytest.mark.usefixtures("valkey")

Mode = Anonymous | SignedIn
DUNDERS = {"set": "__setitem__"}


class Plain:
    """Calls ``session.verb()``."""

    async def __call__(self, session: SessionStore, verb: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(session, DUNDERS.get(verb, verb))(*args, **kwargs)


class Awaited:
    """Calls ``await session.averb()``."""

    async def __call__(self, session: SessionStore, verb: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(session, f"a{verb}")(*args, **kwargs)


Do = Plain | Awaited


@pytest.fixture(params=[Plain, Awaited], ids=["plain", "awaited"])
def do(request: pytest.FixtureRequest) -> Do:
    return request.param()


@pytest.fixture(params=[Anonymous, SignedIn], ids=["anonymous", "signed-in"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param()


@pytest.fixture
def session(mode: Mode) -> SessionStore:
    return mode.visitor()


def _as_after_a_request(session: SessionStore) -> None:
    session.accessed = session.modified = False


# --- a new session -------------------------------------------------------------------------------


async def test_a_new_session_is_neither_accessed_nor_modified(session: SessionStore) -> None:
    assert session.accessed is False
    assert session.modified is False


async def test_a_key_that_is_not_there_gives_the_default(session: SessionStore, do: Do) -> None:
    assert await do(session, "get", "cat") is None
    assert await do(session, "get", "cat", "tom") == "tom"
    assert session.accessed is True
    assert session.modified is False


async def test_subscripting_what_is_not_there_is_a_key_error(session: SessionStore) -> None:
    with pytest.raises(KeyError):
        session["cat"]
    with pytest.raises(KeyError):
        del session["cat"]


# --- reading and changing ------------------------------------------------------------------------


async def test_a_value_is_kept(session: SessionStore, do: Do) -> None:
    await do(session, "set", "cat", "dog")

    assert session.accessed is True
    assert session.modified is True
    assert await do(session, "get", "cat") == "dog"
    assert session["cat"] == "dog"


async def test_a_value_that_is_popped_is_gone(session: SessionStore, do: Do) -> None:
    await do(session, "set", "some key", "exists")
    _as_after_a_request(session)

    assert await do(session, "pop", "some key") == "exists"
    assert session.accessed is True
    assert session.modified is True
    assert await do(session, "get", "some key") is None


@pytest.mark.parametrize("options", [{"default": "dog"}, {"default": None}], ids=["a value", "none"])
async def test_popping_what_is_not_there_gives_the_default(
    session: SessionStore, do: Do, options: dict[str, Any]
) -> None:
    assert await do(session, "pop", "missing", **options) == options["default"]
    assert await do(session, "pop", "missing", options["default"]) == options["default"]
    assert session.accessed is True
    assert session.modified is False


async def test_popping_what_is_not_there_without_a_default_is_a_key_error(
    session: SessionStore, do: Do
) -> None:
    with pytest.raises(KeyError):
        await do(session, "pop", "missing")


async def test_setdefault_sets_once(session: SessionStore, do: Do) -> None:
    assert await do(session, "setdefault", "foo", "bar") == "bar"
    assert session.modified is True
    _as_after_a_request(session)

    assert await do(session, "setdefault", "foo", "baz") == "bar"
    assert session.accessed is True
    assert session.modified is False


async def test_update_changes_several_keys(session: SessionStore, do: Do) -> None:
    await do(session, "update", {"one": 1, "two": 2})

    assert session.accessed is True
    assert session.modified is True
    assert dict(await do(session, "items")) == {"one": 1, "two": 2}


async def test_asking_for_a_key_changes_nothing(session: SessionStore, do: Do) -> None:
    await do(session, "set", "cat", 1)
    _as_after_a_request(session)

    assert await do(session, "has_key", "cat") is True
    assert await do(session, "has_key", "dog") is False
    assert "cat" in session
    assert "dog" not in session
    assert session.accessed is True
    assert session.modified is False


@pytest.mark.parametrize(
    ("verb", "expected"), [("keys", ["x"]), ("values", [1]), ("items", [("x", 1)])], ids=str
)
async def test_looking_at_everything_changes_nothing(
    session: SessionStore, do: Do, verb: str, expected: list[Any]
) -> None:
    assert list(await do(session, verb)) == []
    await do(session, "set", "x", 1)
    _as_after_a_request(session)

    assert list(await do(session, verb)) == expected
    assert session.accessed is True
    assert session.modified is False


async def test_clear_empties_the_session_and_counts_as_a_change(session: SessionStore, do: Do) -> None:
    await do(session, "set", "x", 1)
    _as_after_a_request(session)

    session.clear()

    assert list(await do(session, "items")) == []
    assert session.accessed is True
    assert session.modified is True


async def test_the_test_cookie_comes_back(session: SessionStore, do: Do) -> None:
    assert await do(session, "test_cookie_worked") is False
    await do(session, "set_test_cookie")
    assert await do(session, "test_cookie_worked") is True
    await do(session, "delete_test_cookie")

    assert SessionBase.TEST_COOKIE_NAME not in session


# --- saving --------------------------------------------------------------------------------------


async def test_saving_gives_the_session_a_name_and_stores_it(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "set", "x", 1)

    await do(session, "save")

    assert session.session_key
    assert mode.is_stored(session)


async def test_saving_does_not_clear_the_data(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "a", "b")
    await do(session, "save")

    assert await do(session, "get", "a") == "b"
    assert await do(mode.again(session), "get", "a") == "b"


async def test_an_empty_session_is_saved_and_stays_empty(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "save")

    again = mode.again(session)
    assert dict(await do(again, "items")) == {}
    assert again.session_key == session.session_key


async def test_what_is_deleted_from_it_is_gone_at_the_next_request(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "update", {"a": 1, "b": 2})
    await do(session, "save")
    again = mode.again(session)
    await do(again, "pop", "a")
    await do(again, "save")

    assert dict(await do(mode.again(session), "items")) == {"b": 2}


async def test_values_come_back_as_json_makes_them(session: SessionStore, mode: Mode, do: Do) -> None:
    data = {
        "text": "Grüße, 世界 \u0000 \ud83d",
        "number": -1.5,
        "big": 2**70,
        "nothing": None,
        "truth": True,
        "nested": {"list": [1, [2, {"3": "4"}]], "empty": {}},
        "": "an empty name",
        "name with \ud800 half a pair": 1,
    }
    await do(session, "update", data)
    await do(session, "save")

    assert dict(await do(mode.again(session), "items")) == data


async def test_keys_that_are_no_text_become_what_json_makes_of_them(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "update", {7: "seven", True: "yes", None: "none", 2.5: "number"})
    await do(session, "save")

    again = mode.again(session)
    expected = {"7": "seven", "true": "yes", "null": "none", "2.5": "number"}
    assert dict(await do(again, "items")) == expected


async def test_a_key_that_json_cannot_name_is_an_error_as_in_django(session: SessionStore, do: Do) -> None:
    await do(session, "set", (1, 2), "pair")

    with pytest.raises(TypeError):
        await do(session, "save")


async def test_a_value_that_json_cannot_hold_is_an_error_and_stores_nothing(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "set", "ok", 1)
    await do(session, "save")
    await do(session, "update", {"ok": 2, "bad": object()})

    with pytest.raises(TypeError):
        await do(session, "save")

    assert dict(await do(mode.again(session), "items")) == {"ok": 1}


async def test_a_change_deep_inside_is_saved_once_it_is_announced(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "set", "cart", {"lines": []})
    await do(session, "save")
    again = mode.again(session)

    (await do(again, "get", "cart"))["lines"].append("mug")
    again.modified = True
    await do(again, "save")

    assert await do(mode.again(session), "get", "cart") == {"lines": ["mug"]}


async def test_loading_again_keeps_what_is_not_saved_yet(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "update", {"a": 1, "b": 1})
    await do(session, "save")
    await do(session, "set", "a", 2)

    assert await do(session, "load") == {"a": 1, "b": 1}
    assert await do(session, "get", "a") == 2
    await do(session, "save")

    assert dict(await do(mode.again(session), "items")) == {"a": 2, "b": 1}


async def test_save_that_must_create_refuses_a_name_that_is_taken(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "a", 1)
    await do(session, "save")
    other = SessionStore(session.session_key)
    await do(other, "set", "a", 2)

    with pytest.raises(CreateError):
        await do(other, "save", must_create=True)

    assert await do(SessionStore(session.session_key), "get", "a") == 1


async def test_save_that_failed_to_create_can_still_update(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "a", 1)
    await do(session, "save")
    with pytest.raises(CreateError):
        await do(session, "save", must_create=True)
    await do(SessionStore(session.session_key), "has_key", "a")
    other = SessionStore(session.session_key)
    await do(other, "set", "b", 2)
    await do(other, "save")

    await do(session, "set", "a", 3)
    await do(session, "save")

    assert dict(await do(SessionStore(session.session_key), "items")) == {"a": 3, "b": 2}


async def test_create_makes_a_stored_session_with_a_new_name(do: Do) -> None:
    session = SessionStore()

    await do(session, "create")

    assert await do(session, "exists", session.session_key)
    assert session.modified is True
    assert len(session.session_key) >= 32


async def test_create_keeps_the_name_that_the_portal_has_given(do: Do) -> None:
    session = SignedIn().visitor()
    sid = session.session_key

    await do(session, "create")

    assert session.session_key == sid


# --- deleting ------------------------------------------------------------------------------------


async def test_a_session_that_never_was_does_not_exist(session: SessionStore, do: Do) -> None:
    assert not await do(session, "exists", "never-was-a-session")


@pytest.mark.parametrize("name", [None, ""], ids=["none", "empty"])
async def test_no_session_goes_by_no_name(session: SessionStore, do: Do, name: str | None) -> None:
    assert not await do(session, "exists", name)


async def test_delete_forgets_the_session(do: Do) -> None:
    session = SessionStore()
    await do(session, "save")
    await do(session, "delete", session.session_key)

    assert not await do(session, "exists", session.session_key)


async def test_delete_without_a_name_means_the_current_one(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "a", 1)
    await do(session, "save")

    await do(session, "delete")

    assert not mode.is_stored(session)


async def test_delete_by_an_empty_name_deletes_nothing(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "a", 1)
    await do(session, "save")

    await do(session, "delete", "")

    assert mode.is_stored(session)


async def test_delete_of_a_session_that_was_never_saved_is_no_error(session: SessionStore, do: Do) -> None:
    await do(session, "delete")

    assert session.modified is False


async def test_flush_leaves_nothing_behind(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "foo", "bar")
    await do(session, "save")
    previous = session.session_key

    await do(session, "flush")

    assert not await do(session, "exists", previous)
    assert session.session_key is None
    assert session.session_key != previous
    assert session.modified is True
    assert session.accessed is True
    assert session.is_empty()


async def test_flush_while_signed_in_drops_the_data_and_keeps_the_session(do: Do) -> None:
    mode = SignedIn()
    session = mode.visitor()
    await do(session, "set", "foo", "bar")
    await do(session, "save")

    await do(session, "flush")

    assert not mode.is_stored(session)
    assert dict(await do(mode.again(session), "items")) == {}
    assert mode.again(session).identity is not None


async def test_a_flushed_session_can_be_filled_anew(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set", "old", 1)
    await do(session, "save")
    await do(session, "flush")
    await do(session, "set", "new", 2)
    await do(session, "save")

    assert dict(await do(mode.again(session), "items")) == {"new": 2}


async def test_a_cleared_session_stays_cleared(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "update", {"a": 1, "b": 2})
    await do(session, "save")
    again = mode.again(session)
    again.clear()
    await do(again, "set", "c", 3)
    await do(again, "save")

    assert dict(await do(mode.again(session), "items")) == {"c": 3}


# --- a new key -----------------------------------------------------------------------------------


async def test_cycling_the_key_keeps_the_data_and_forgets_the_old_name(do: Do) -> None:
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


async def test_cycling_the_key_of_a_session_that_nobody_looked_at_keeps_its_data(do: Do) -> None:
    session = SessionStore()
    await do(session, "update", {"a": "c", "b": "d"})
    await do(session, "save")
    again = SessionStore(session.session_key)

    await do(again, "cycle_key")

    assert dict(await do(SessionStore(again.session_key), "items")) == {"a": "c", "b": "d"}
    assert not await do(again, "exists", session.session_key)


async def test_cycling_the_key_of_a_new_visitor_gives_a_name(do: Do) -> None:
    session = SessionStore()

    await do(session, "cycle_key")

    assert await do(session, "exists", session.session_key)


async def test_cycling_the_key_while_signed_in_keeps_name_and_data(do: Do) -> None:
    mode = SignedIn()
    session = mode.visitor()
    await do(session, "set", "a", 1)
    await do(session, "save")
    sid = session.session_key

    await do(session, "cycle_key")
    await do(session, "save")

    assert session.session_key == sid
    assert session.modified is True
    assert await do(mode.again(session), "get", "a") == 1


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["1", "12345678", "x" * 5000, "a\\b\\c\\d\\e", "../../etc/passwd", "\x00" * 9, "sso:*"]
)
async def test_a_name_that_was_never_issued_is_never_used(do: Do, key: str) -> None:
    session = SessionStore(key)

    assert await do(session, "get", "cat") is None
    await do(session, "set", "cat", "dog")
    await do(session, "save")

    assert session.session_key != key
    assert not await do(session, "exists", key)
    assert await do(SessionStore(session.session_key), "get", "cat") == "dog"


async def test_saving_under_a_name_that_was_never_issued_makes_a_new_one(do: Do) -> None:
    session = SessionStore("planted-by-somebody-else")
    assert await do(session, "load") == {}
    await do(session, "save")

    assert session.session_key not in (None, "planted-by-somebody-else")
    assert not await do(session, "exists", "planted-by-somebody-else")


@pytest.mark.parametrize("key", ["", "1234567"], ids=["empty", "too short"])
def test_a_name_that_is_too_short_is_none(key: str) -> None:
    assert SessionStore(key).session_key is None


def test_a_long_enough_name_is_taken_until_the_store_has_been_asked() -> None:
    assert SessionStore("12345678").session_key == "12345678"


def test_the_name_cannot_be_set_from_outside(session: SessionStore) -> None:
    with pytest.raises(AttributeError):
        session.session_key = "something else"


# --- expiry --------------------------------------------------------------------------------------


def _about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=60)


async def test_by_default_a_session_lives_as_long_as_its_cookie(
    session: SessionStore, do: Do, settings
) -> None:
    settings.SESSION_COOKIE_AGE = 1000
    modification = timezone.now()

    await do(session, "set_expiry", None)

    assert await do(session, "get_expiry_age") == 1000
    expected = modification + timedelta(seconds=1000)
    assert await do(session, "get_expiry_date", modification=modification) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda now: 1000,
        lambda now: timedelta(seconds=1000),
        lambda now: now + timedelta(seconds=1000),
    ],
    ids=["seconds", "timedelta", "datetime"],
)
async def test_a_session_may_expire_when_the_site_says(
    session: SessionStore, do: Do, make: Callable[[datetime], Any]
) -> None:
    now = timezone.now()

    await do(session, "set_expiry", make(now))

    assert session.modified is True
    date = await do(session, "get_expiry_date", modification=now)
    assert abs(date - (now + timedelta(seconds=1000))) < timedelta(seconds=60)
    assert await do(session, "get_expiry_age", modification=now) == _about(1000)


async def test_age_and_date_can_be_asked_for_any_expiry(session: SessionStore, do: Do) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    assert await do(session, "get_expiry_age", expiry=7) == 7
    assert await do(session, "get_expiry_age", modification=moment, expiry=moment + timedelta(1)) == 86400
    text = (moment + timedelta(seconds=5)).isoformat()
    assert await do(session, "get_expiry_age", modification=moment, expiry=text) == 5
    assert await do(session, "get_expiry_date", modification=moment, expiry=text) == moment + timedelta(0, 5)


async def test_a_custom_expiry_survives_the_request(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set_expiry", 600)
    await do(session, "save")

    assert await do(mode.again(session), "get_expiry_age") == 600


async def test_a_custom_expiry_is_taken_back_by_none(session: SessionStore, do: Do, settings) -> None:
    await do(session, "set_expiry", 10)
    await do(session, "set_expiry", None)

    assert await do(session, "get_expiry_age") == settings.SESSION_COOKIE_AGE


async def test_taking_back_an_expiry_that_was_never_set_changes_nothing(
    session: SessionStore, do: Do
) -> None:
    await do(session, "set_expiry", None)

    assert session.modified is False


@pytest.mark.parametrize(
    ("setting", "expiry", "closes"),
    [
        (False, 10, False),
        (False, 0, True),
        (False, None, False),
        (True, 10, False),
        (True, 0, True),
        (True, None, True),
    ],
)
async def test_a_session_ends_with_the_browser_where_it_should(
    session: SessionStore, do: Do, setting: bool, expiry: int | None, closes: bool
) -> None:
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=setting):
        await do(session, "set_expiry", expiry)

        assert await do(session, "get_expire_at_browser_close") is closes


async def test_an_anonymous_session_really_ends_then(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "foo", "bar")
    await do(session, "set_expiry", 600)
    await do(session, "save")
    name = anonymous_name(session.session_key)
    assert 500 <= store.client().ttl(name) <= 600

    await do(session, "set_expiry", -3600)
    await do(session, "save")

    assert "foo" not in SessionStore(session.session_key)
    assert not store.client().exists(name)


async def test_a_broken_number_of_seconds_is_an_expiry_too(do: Do) -> None:
    session = SessionStore()
    await do(session, "set_expiry", 1000.5)

    before = time.time()
    await do(session, "save")
    after = time.time()

    expires = store.client().pexpiretime(anonymous_name(session.session_key)) / 1000
    assert before + 1000.4 < expires < after + 1000.6


async def test_a_signed_in_session_lives_as_long_as_the_portal_says(do: Do) -> None:
    session = SignedIn().visitor()
    await do(session, "set_expiry", 5)
    await do(session, "save")

    assert store.client().ttl(store.site_key("sso-test", session.session_key, "site_a")) > 3600


async def test_expired_sessions_need_no_clearing_up(do: Do) -> None:
    assert await do(SessionStore, "clear_expired") is None


# --- nothing comes from nothing, nothing comes back ------------------------------------------------


async def test_loading_a_session_that_is_not_there_creates_no_record(do: Do) -> None:
    session = SessionStore("someunknownkey")

    await do(session, "load")

    assert session.session_key is None
    assert not await do(session, "exists", session.session_key)
    assert names_in_redis() == set()


async def test_looking_at_a_signed_in_session_creates_no_record(do: Do) -> None:
    session = SignedIn().visitor()
    before = names_in_redis()

    await do(session, "get", "cat")

    assert names_in_redis() == before


async def test_save_does_not_resurrect_a_session_that_was_deleted_meanwhile(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "x", 1)
    await do(session, "save")
    slow = SessionStore(session.session_key)
    await do(slow, "set", "x", 2)
    await do(SessionStore(session.session_key), "delete")

    with pytest.raises(UpdateError):
        await do(slow, "save")

    assert names_in_redis() == set()


# --- what Django's own code relies on ---------------------------------------------------------------


def test_encoded_data_is_decoded(session: SessionStore) -> None:
    data = {"a": "b", "list": [1, 2, 3]}

    assert session.decode(session.encode(data)) == data


def test_data_that_was_tampered_with_is_empty_and_a_security_event(session: SessionStore, caplog) -> None:
    tampered = f"x{session.encode({'a': 1})}"

    with caplog.at_level(logging.WARNING, logger="django.security.SuspiciousSession"):
        assert session.decode(tampered) == {}

    assert "Session data corrupted" in caplog.text


def test_what_the_serializer_cannot_read_is_empty(session: SessionStore) -> None:
    encoded = session.encode({"a": 1})
    session.serializer = _Broken

    assert session.decode(encoded) == {}


class _Broken:
    def dumps(self, data: Any) -> bytes:
        return b""

    def loads(self, data: bytes) -> Any:
        raise ValueError


class _OneByOne:
    """A serializer that makes no JSON: a site may have one of its own."""

    def dumps(self, data: Any) -> bytes:
        return repr(data).encode().hex().encode()

    def loads(self, data: bytes) -> Any:
        import ast

        return ast.literal_eval(bytes.fromhex(data.decode()).decode())


async def test_a_sites_own_serializer_is_used(session: SessionStore, mode: Mode, do: Do, settings) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}._OneByOne"
    session = mode.visitor()
    data = {"pair": (1, 2), "text": "x", "set": {1, 2}}
    await do(session, "update", data)
    await do(session, "save")

    assert dict(await do(mode.again(session), "items")) == data


async def test_damaged_data_is_an_empty_session_and_a_security_event(
    session: SessionStore, mode: Mode, do: Do, caplog
) -> None:
    await do(session, "update", {"a": 1, "b": 2})
    await do(session, "save")
    (name,) = (each for each in names_in_redis() if b"identity" not in each)
    store.client().hset(name, "a", b"{")

    again = mode.again(session)
    assert dict(await do(again, "items")) == {}
    assert "Session data corrupted" in caplog.text

    await do(again, "set", "c", 3)
    await do(again, "save")
    assert dict(await do(mode.again(session), "items")) == {"c": 3}


def test_a_session_is_empty_until_there_is_a_name_or_data() -> None:
    session = SessionStore()
    assert session.is_empty()

    session["a"] = 1
    assert not session.is_empty()


def test_a_session_that_was_presented_is_not_empty_before_the_store_is_asked(session: SessionStore) -> None:
    session.save()

    assert not SessionStore(session.session_key).is_empty()


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.1 gave sessions a truth value")
def test_a_session_is_true_where_it_is_not_empty(mode: Mode) -> None:
    assert not SessionStore()

    session = mode.visitor()
    session["a"] = 1

    assert session


def test_it_is_a_session_of_djangos_kind() -> None:
    assert issubclass(SessionStore, SessionBase)
    assert SessionStore().key_salt == "django.contrib.sessions.SessionStore"
