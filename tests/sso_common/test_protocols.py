"""Sessions and events are the same over RESP2 and RESP3, parsed in C and in Python."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio.connection
from django.test import override_settings
from django.utils.module_loading import import_string
from redis.utils import HIREDIS_AVAILABLE

from sso_common import conf, store, testing
from sso_common.sessions import SessionStore
from tests.servers import ValkeyServer

from .sessions.variants import Anonymous, SignedIn
from .tools import sign_in

#: For threads -> for event loops.
PARSERS = {
    "redis._parsers._RESP2Parser": "redis._parsers._AsyncRESP2Parser",
    "redis._parsers._HiredisParser": "redis._parsers._AsyncHiredisParser",
}
#: The defaults of redis-py's connections of event loops.
DEFAULTS: dict[str, Any] = inspect.unwrap(redis.asyncio.connection.AbstractConnection.__init__).__kwdefaults__  # type: ignore[misc]


@pytest.fixture(params=[2, 3])
def protocol(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(autouse=True, params=PARSERS)
def spoken(
    request: pytest.FixtureRequest,
    protocol: int,
    valkey: ValkeyServer,
    each_store: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Use a protocol and a parser. For RESP3, redis-py replaces the first parser by its RESP3 parser."""
    if "Hiredis" in request.param and not HIREDIS_AVAILABLE:
        pytest.skip("hiredis is not installed")
    monkeypatch.setitem(DEFAULTS, "parser_class", import_string(PARSERS[request.param]))
    # Pools are shared by URL, so each combination gets its own URL.
    url = f"{valkey.url}?protocol={protocol}&client_name={request.param.rpartition('.')[2]}"
    text = testing.make_dsn("site_a", url)
    entry = conf.cache(text)
    entry["OPTIONS"]["PARSER_CLASS"] = request.param
    with override_settings(SSO_DSN=text, CACHES={"sso": entry}):
        yield
        pool: Any = store.client().connection_pool
        pool.disconnect()


def test_configured_protocol_is_used(protocol: int) -> None:
    (info,) = store.ask([("CLIENT", "INFO")])

    assert f"resp={protocol}" in info.decode().split()  # Redis 7.0 has it last


@pytest.mark.parametrize("mode", [Anonymous(), SignedIn()], ids=["anonymous", "signed in"])
def test_saved_session_is_loaded_again(mode: Any) -> None:
    session = mode.new_session()
    session["text"], session["number"], session["nothing"] = "schön", 7, None
    session.save()
    session["number"] = 8
    del session["nothing"]
    session.save()

    assert dict(mode.next_request(session).items()) == {"text": "schön", "number": 8}
    assert mode.next_request(session).session_key == session.session_key
    mode.next_request(session).flush()
    assert not mode.is_stored(session)


def test_anonymous_session_is_adopted() -> None:
    anonymous = SessionStore()
    anonymous["cart"] = [1]
    anonymous.save()
    token = sign_in()

    session = SessionStore(anonymous.session_key, token=token)

    assert session["cart"] == [1]
    assert dict(SessionStore(token=token).items()) == {"cart": [1]}
    assert not store.run(store.anonymous_exists(str(anonymous.session_key)))


def test_missing_session_is_absent() -> None:
    token = sign_in()
    assert store.run(store.read_session(token.sid, "nobody")).anonymous == {}
    store.run(store.end_session(token.sid, "anna"))

    assert store.run(store.read_session(token.sid)) == store.StoredSession(None, -2, {}, {})
    assert not store.run(store.save_site_session(token.sid, store.Changes(put={b"a": b"1"}), 100))


def test_user_event_is_read_and_others_are_skipped() -> None:
    client: Any = store.client()
    name = store.events_key(conf.dsn().namespace)
    client.xadd(name, {"type": "signed_in"})
    event = client.xadd(name, {"type": "user", "version": 3}).decode()
    later = client.xadd(name, {"type": "signed_out"}).decode()

    assert store.wait_for_user_event("0", 2000) == later
    assert store.wait_for_user_event(event, 20) is None
