"""What the session engine costs: one round trip to read, one to save, none for what nothing needs."""

from __future__ import annotations

from sso_common import testing
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import counted_commands, counted_trips

from .variants import Mode, save_anonymous, save_session


def test_new_session_object_sends_nothing(token: SessionToken) -> None:
    with counted_trips() as trips:
        session = SessionStore("a-key-of-the-host-cookie", token=token)
        assert session.known_identity is None
        assert not session.is_empty()
        assert session.due_extension() is None

    assert len(trips) == 0


def test_reading_a_signed_in_session_takes_one_round_trip(token: SessionToken) -> None:
    session = SessionStore(token=token)

    with counted_trips() as trips:
        assert session.identity.sub == testing.subject("anna")
        assert session.get("a") is None
        assert session.session_key == token.sid
        assert session.token == token
        assert dict(session.items()) == {}

    assert len(trips) == 1


def test_reading_an_anonymous_session_takes_one_round_trip() -> None:
    session = SessionStore(save_anonymous(a=1))

    with counted_trips() as trips:
        assert session["a"] == 1
        assert session.identity is None
        assert session.get("b") is None

    assert len(trips) == 1


def test_reading_without_cookies_sends_nothing() -> None:
    session = SessionStore()

    with counted_trips() as trips:
        assert session.get("a") is None
        assert session.identity is None

    assert len(trips) == 0


def test_save_sends_only_what_changed_in_one_round_trip(mode: Mode) -> None:
    session = mode.next_request(save_session(mode, large="unchanged value", small=1))
    session["small"] = 2

    with counted_trips() as trips:
        session.save()

    (sent,) = trips.sent
    assert b"unchanged value" not in sent


def test_save_without_a_change_writes_no_field(mode: Mode, valkey: ValkeyServer) -> None:
    session = mode.next_request(save_session(mode, a=1))
    session["a"] = 1

    with counted_commands(valkey.admin) as calls:
        session.save()

    assert calls["evalsha"] == 1
    assert not calls.keys() & {"hset", "hdel", "unlink", "set"}
