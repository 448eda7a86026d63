"""Keys, round trips, and scripts that never resurrect a session."""

from __future__ import annotations

import hashlib
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from itsdangerous.encoding import base64_decode
from redis.crc import key_slot
from redis.exceptions import ResponseError

from sso_common import conf, store, testing
from sso_common.exceptions import StoreUnavailable
from sso_common.store import ANNOUNCED, MARKER, Changes
from sso_common.store import events as stream
from sso_common.tokens import SessionToken, mint_token
from tests.sso_common.tools import (
    anonymous_name,
    counted_commands,
    counted_trips,
    end,
    events,
    has_identity,
    names_in_redis,
    record_name,
    sign_in,
    site_name,
)

pytestmark = pytest.mark.usefixtures("valkey", "each_store")

KEY = "an-anonymous-session"
HOUR = 3600


@pytest.fixture
def token(valkey) -> SessionToken:
    return sign_in("anna")


def anonymous(**fields: bytes) -> None:
    put = {MARKER: b"", **{name.encode(): value for name, value in fields.items()}}
    assert store.run(store.save_anonymous(KEY, Changes(put), HOUR, create=True))


# --- names ---------------------------------------------------------------------------------------


def test_all_of_a_session_is_on_one_node_of_a_cluster() -> None:
    sid = mint_token().sid

    names = [store.identity_key("sso", sid)] + [store.site_key("sso", sid, site) for site in ("a", "b")]

    assert len({key_slot(name.encode()) for name in names}) == 1


def test_keys_match_the_acl_of_a_site() -> None:
    assert store.identity_key("sso", "SID") == "sso:{SID}:identity"
    assert store.site_key("sso", "SID", "site_a") == "sso:{SID}:site:site_a"
    assert store.anonymous_key("sso", "site_a", "key") == (
        "sso:anon:site_a:{" + hashlib.sha256(b"key").hexdigest() + "}"
    )


def test_a_dump_of_redis_opens_no_session(token: SessionToken) -> None:
    anonymous(cart=b"1")
    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))

    record = store.client().get(record_name(token))
    dump = b" ".join([*names_in_redis(), record, base64_decode(record.split(b".")[2])])

    assert token.sid.encode() in dump
    assert KEY.encode() not in dump
    assert token.secret.encode() not in dump


@pytest.mark.parametrize("key", ["\ud800", "}{", "*", "\x00" * 8, "ü" * 100])
def test_no_cookie_value_chooses_a_key(key: str) -> None:
    name = store.anonymous_key("sso", "site_a", key)

    assert name.startswith("sso:anon:site_a:{")
    assert len(name) == len("sso:anon:site_a:{}") + 64


# --- reading -------------------------------------------------------------------------------------


def test_reading_both_sessions_takes_one_round_trip(token: SessionToken) -> None:
    anonymous(cart=b"[1]")
    store.run(store.save_site_session(token.sid, Changes({MARKER: b"", b"a": b"1"}), HOUR))

    with counted_trips() as trips:
        stored = store.run(store.read_session(token.sid, KEY))

    assert len(trips) == 1
    assert stored.record == store.client().get(record_name(token))
    assert 0 < stored.ttl <= 12 * HOUR * 1000
    assert stored.fields == {MARKER: b"", b"a": b"1"}
    assert stored.anonymous == {MARKER: b"", b"cart": b"[1]"}


def test_missing_sessions_are_empty() -> None:
    stored = store.run(store.read_session(mint_token().sid, KEY))

    assert (stored.record, stored.ttl, stored.fields, stored.anonymous) == (None, -2, {}, {})


def test_a_refusal_in_the_middle_leaves_no_answer_for_the_next_visitor(token: SessionToken) -> None:
    other = sign_in("bert")
    store.client().set(site_name(token), "not a hash")

    with pytest.raises(StoreUnavailable) as caught:
        store.run(store.read_session(token.sid, KEY))

    assert isinstance(caught.value.__cause__, ResponseError)
    assert store.run(store.read_session(other.sid)).record == store.client().get(record_name(other))


def test_a_worker_that_is_interrupted_leaves_no_answer_for_the_next_visitor(
    token: SessionToken, valkey
) -> None:
    """The time limits of gevent and gunicorn raise exceptions that are not an ``Exception``."""
    other = sign_in("bert")

    class OutOfTime(BaseException):
        pass

    def ring(*_: object) -> None:
        raise OutOfTime

    def read_until_it_rings() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        store.run(store.read_session(token.sid))

    before = signal.signal(signal.SIGALRM, ring)
    valkey.pause()
    try:
        with pytest.raises(OutOfTime):
            read_until_it_rings()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        valkey.resume()

    for _ in range(3):
        assert store.run(store.read_session(other.sid)).record == store.client().get(record_name(other))


def test_a_connection_that_the_server_has_closed_is_replaced(token: SessionToken, valkey) -> None:
    store.ping()
    valkey.admin.client_kill_filter(_type="normal", skipme=True)

    assert store.run(store.read_session(token.sid)).record is not None


def test_an_error_quotes_neither_keys_nor_values(token: SessionToken) -> None:
    store.client().set(site_name(token), "not a hash")

    with pytest.raises(StoreUnavailable) as caught:
        store.run(store.save_site_session(token.sid, Changes({b"a": b'"a secret"'}), HOUR))

    assert "a secret" not in str(caught.value)
    assert token.sid not in str(caught.value)


# --- saving --------------------------------------------------------------------------------------


def test_a_save_takes_one_round_trip_once_the_server_knows_the_script(token: SessionToken) -> None:
    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))

    with counted_trips() as trips:
        assert store.run(store.save_site_session(token.sid, Changes({b"a": b"2"}), HOUR))

    assert len(trips) == 1


def test_a_server_without_the_scripts_is_sent_them_again(token: SessionToken, valkey) -> None:
    assert store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))
    valkey.admin.script_flush()

    assert store.run(store.save_site_session(token.sid, Changes({b"b": b"2"}), HOUR))
    assert store.run(store.save_anonymous(KEY, Changes({MARKER: b""}), HOUR, create=True))
    assert store.run(store.adopt_anonymous(token.sid, KEY, {b"c": b"3"}, HOUR))

    fields = store.run(store.read_session(token.sid)).fields
    assert {name: value for name, value in fields.items() if not name.startswith(MARKER)} == {
        b"a": b"1",
        b"b": b"2",
        b"c": b"3",
    }


def test_a_save_changes_only_the_fields_that_it_names(token: SessionToken) -> None:
    store.run(
        store.save_site_session(token.sid, Changes({b"kept": b"1", b"changed": b"1", b"dropped": b"1"}), HOUR)
    )

    store.run(
        store.save_site_session(token.sid, Changes({b"changed": b"2", b"new": b"2"}, drop=[b"dropped"]), HOUR)
    )

    assert store.run(store.read_session(token.sid)).fields == {b"kept": b"1", b"changed": b"2", b"new": b"2"}


def test_a_replacing_save_deletes_the_old_fields(token: SessionToken) -> None:
    store.run(store.save_site_session(token.sid, Changes({b"old": b"1"}), HOUR))

    store.run(store.save_site_session(token.sid, Changes({b"new": b"2"}, replace=True), HOUR))

    assert store.run(store.read_session(token.sid)).fields == {b"new": b"2"}


def test_a_large_session_is_saved_and_emptied(token: SessionToken) -> None:
    many = {f"field {number}".encode(): b"x" * 100 for number in range(5000)}

    store.run(store.save_site_session(token.sid, Changes(many), HOUR))
    assert store.run(store.read_session(token.sid)).fields == many

    store.run(store.save_site_session(token.sid, Changes({MARKER: b""}, drop=list(many)), HOUR))
    assert store.run(store.read_session(token.sid)).fields == {MARKER: b""}


def test_a_site_session_outlives_the_idle_timeout(token: SessionToken) -> None:
    """Another site may extend the record again and again, and must not touch this site's data."""
    store.client().pexpire(record_name(token), 500_000)

    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))

    assert 1000 * (HOUR - 60) < store.client().pttl(site_name(token)) <= 1000 * HOUR


def test_adoption_does_not_extend_a_site_session_that_expires_earlier(token: SessionToken) -> None:
    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), 500))
    anonymous(cart=b"[1]")

    store.run(store.adopt_anonymous(token.sid, KEY, {b"cart": b"[1]"}, HOUR))

    assert 400_000 < store.client().pttl(site_name(token)) <= 500_000


def test_adoption_into_a_new_site_session_lets_it_expire(token: SessionToken) -> None:
    anonymous(cart=b"[1]")

    store.run(store.adopt_anonymous(token.sid, KEY, {b"cart": b"[1]"}, HOUR))

    assert 1000 * (HOUR - 60) < store.client().pttl(site_name(token)) <= 1000 * HOUR


def test_a_save_does_not_resurrect_a_session_that_ended_elsewhere(token: SessionToken) -> None:
    end(token)

    assert store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}, replace=True), HOUR)) is False
    assert names_in_redis() == set()


def test_an_anonymous_session_is_created_once() -> None:
    assert store.run(store.save_anonymous(KEY, Changes({b"a": b"1"}), HOUR, create=True))

    assert store.run(store.save_anonymous(KEY, Changes({b"a": b"2"}), HOUR, create=True)) is False
    assert store.run(store.read_anonymous(KEY)) == {b"a": b"1"}


def test_a_save_does_not_resurrect_an_anonymous_session() -> None:
    assert store.run(store.save_anonymous(KEY, Changes({b"a": b"1"}), HOUR, create=False)) is False
    assert names_in_redis() == set()


def test_each_save_of_an_anonymous_session_restarts_its_lifetime() -> None:
    anonymous()
    store.client().pexpire(anonymous_name(KEY), 5_000)

    store.run(store.save_anonymous(KEY, Changes({}), HOUR, create=False))

    assert store.client().ttl(anonymous_name(KEY)) > HOUR - 60


# --- ending and extending --------------------------------------------------------------------------


def test_sign_out_deletes_the_record_and_this_sites_data_and_adds_an_event(token: SessionToken) -> None:
    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))

    with counted_trips() as trips:
        store.run(store.end_session(token.sid, testing.subject("anna")))

    assert len(trips) == 1
    assert names_in_redis() == {store.events_key(conf.dsn().namespace).encode()}
    (event,) = events("signed_out")
    assert event[b"sid"] == token.sid.encode()
    assert event[b"sub"] == str(testing.subject("anna")).encode()
    assert event[b"site"] == b"site_a"


def test_sign_out_leaves_the_data_of_other_sites_to_the_portal(token: SessionToken) -> None:
    other = store.site_key(conf.dsn().namespace, token.sid, "site_b")
    store.client().hset(other, "a", "1")

    store.run(store.end_session(token.sid, testing.subject("anna")))

    assert store.client().exists(other)


def test_deleting_the_data_of_a_site_does_not_end_the_session(token: SessionToken) -> None:
    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))

    store.run(store.delete_site_session(token.sid))

    assert store.run(store.read_session(token.sid)).fields == {}
    assert has_identity(token)


def test_extending_takes_one_round_trip(token: SessionToken) -> None:
    store.client().pexpire(record_name(token), 60_000)

    with counted_trips() as trips:
        store.run(store.extend_session(token.sid, 1_200_000))

    assert len(trips) == 1
    assert 1_100_000 < store.client().pttl(record_name(token)) <= 1_200_000


def test_extending_never_shortens_a_session(token: SessionToken) -> None:
    before = store.client().pexpiretime(record_name(token))

    store.run(store.extend_session(token.sid, 1_000))

    assert store.client().pexpiretime(record_name(token)) == before


def test_extending_does_not_resurrect_a_session(token: SessionToken) -> None:
    end(token)

    store.run(store.extend_session(token.sid, 60_000))

    assert names_in_redis() == set()


# --- announcing ------------------------------------------------------------------------------------


def test_a_user_is_announced_once(token: SessionToken) -> None:
    assert store.run(store.announce_once(token.sid, HOUR))

    assert not store.run(store.announce_once(token.sid, HOUR))
    assert store.run(store.read_session(token.sid)).fields == {ANNOUNCED: b""}
    assert 1000 * (HOUR - 60) < store.client().pttl(site_name(token)) <= 1000 * HOUR


def test_eight_threads_announce_a_user_once(token: SessionToken) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: store.run(store.announce_once(token.sid, HOUR)), range(80)))

    assert answers.count(True) == 1


def test_announcing_extends_the_session_in_the_same_round_trip(token: SessionToken) -> None:
    store.run(store.announce_once(sign_in("bert").sid, HOUR))  # Redis caches the script
    store.client().pexpire(record_name(token), 60_000)

    with counted_trips() as trips:
        assert store.run(store.announce_once(token.sid, HOUR, 1_200_000))

    assert len(trips) == 1
    assert 1_100_000 < store.client().pttl(record_name(token)) <= 1_200_000


def test_an_announcement_that_was_taken_back_is_made_again(token: SessionToken) -> None:
    store.run(store.announce_once(token.sid, HOUR))

    store.run(store.forget_announcement(token.sid))

    assert store.run(store.announce_once(token.sid, HOUR))


def test_no_save_forgets_the_announcement(token: SessionToken) -> None:
    store.run(store.announce_once(token.sid, HOUR))

    store.run(store.save_site_session(token.sid, Changes({MARKER: b""}, replace=True), HOUR))

    assert not store.run(store.announce_once(token.sid, HOUR))


def test_sign_out_works_while_the_stream_refuses_events(token: SessionToken) -> None:
    """A site can write any id. After the greatest one, Redis refuses all further events."""
    store.client().xadd(
        store.events_key(conf.dsn().namespace), {"type": "spoil"}, id=f"{2**64 - 1}-{2**64 - 1}"
    )

    store.run(store.end_session(token.sid, testing.subject("anna")))

    assert not has_identity(token)


def test_an_announcement_after_sign_out_leaves_nothing(token: SessionToken) -> None:
    end(token)

    assert not store.run(store.announce_once(token.sid, HOUR, 400_000))

    assert names_in_redis() == set()


def test_the_stream_of_events_is_capped(valkey, monkeypatch) -> None:
    monkeypatch.setattr(stream, "EVENTS_KEPT", 100)
    for _ in range(400):
        store.ask([store.event("user")])

    assert valkey.admin.xlen(store.events_key(conf.dsn().namespace)) <= 250


def test_a_save_runs_one_script(token: SessionToken, valkey) -> None:
    store.run(store.save_site_session(token.sid, Changes({b"a": b"1"}), HOUR))

    with counted_commands(valkey.admin) as calls:
        store.run(store.save_site_session(token.sid, Changes({b"a": b"2"}, drop=[b"b"]), HOUR))

    assert calls == {"evalsha": 1, "exists": 1, "hset": 1, "hdel": 1, "pexpire": 1}
