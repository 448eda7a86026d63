"""How session data is serialized, and what becomes of data that cannot be read."""

from __future__ import annotations

import ast
import logging
from typing import Any

import pytest

from sso_common import store
from sso_common.sessions import SessionStore
from tests.sso_common.tools import names_in_redis

from .variants import Do, Mode


async def test_values_round_trip_as_json(session: SessionStore, mode: Mode, do: Do) -> None:
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

    assert dict(await do(mode.next_request(session), "items")) == data


async def test_keys_that_are_not_text_become_text_as_in_json(
    session: SessionStore, mode: Mode, do: Do
) -> None:
    await do(session, "update", {7: "seven", True: "yes", None: "none", 2.5: "number"})
    await do(session, "save")

    expected = {"7": "seven", "true": "yes", "null": "none", "2.5": "number"}
    assert dict(await do(mode.next_request(session), "items")) == expected


@pytest.mark.parametrize(
    "bad",
    [{(1, 2): "pair"}, {"\x00key": 1}, {"bad": object()}],
    ids=["a key that is a tuple", "a key that starts with NUL", "a value that is no JSON"],
)
async def test_data_that_cannot_be_stored_raises_and_changes_nothing(
    session: SessionStore, mode: Mode, do: Do, bad: dict[Any, Any]
) -> None:
    await do(session, "set", "ok", 1)
    await do(session, "save")
    await do(session, "update", {"ok": 2, **bad})

    with pytest.raises((TypeError, ValueError)):
        await do(session, "save")

    assert dict(await do(mode.next_request(session), "items")) == {"ok": 1}


class Repr:
    """A site's own serializer, which writes no JSON."""

    def dumps(self, data: Any) -> bytes:
        return repr(data).encode().hex().encode()

    def loads(self, data: bytes) -> Any:
        return ast.literal_eval(bytes.fromhex(data.decode()).decode())


async def test_custom_serializer_is_used(mode: Mode, do: Do, settings) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.Repr"
    session = mode.new_session()
    data = {"pair": (1, 2), "text": "x", "set": {1, 2}}
    await do(session, "update", data)
    await do(session, "save")

    assert dict(await do(mode.next_request(session), "items")) == data


async def test_damaged_data_is_an_empty_session_and_a_security_event(
    session: SessionStore, mode: Mode, do: Do, caplog
) -> None:
    await do(session, "update", {"a": 1, "b": 2})
    await do(session, "save")
    (name,) = (each for each in names_in_redis() if b"identity" not in each)
    store.client().hset(name, "a", b"{")

    later = mode.next_request(session)
    assert dict(await do(later, "items")) == {}
    assert "Session data corrupted" in caplog.text

    await do(later, "set", "c", 3)
    await do(later, "save")
    assert dict(await do(mode.next_request(session), "items")) == {"c": 3}


# --- encode and decode, which other packages call --------------------------------------------


def test_decode_reverses_encode() -> None:
    session, data = SessionStore(), {"a": "b", "list": [1, 2, 3]}

    assert session.decode(session.encode(data)) == data


def test_decode_of_tampered_data_is_empty_and_a_security_event(caplog) -> None:
    session = SessionStore()
    tampered = f"x{session.encode({'a': 1})}"

    with caplog.at_level(logging.WARNING, logger="django.security.SuspiciousSession"):
        assert session.decode(tampered) == {}

    assert "Session data corrupted" in caplog.text


def test_decode_is_empty_where_the_serializer_fails() -> None:
    class Broken:
        def dumps(self, data: Any) -> bytes:
            return b""

        def loads(self, data: bytes) -> Any:
            raise ValueError

    session = SessionStore()
    encoded = session.encode({"a": 1})
    session.serializer = Broken

    assert session.decode(encoded) == {}
