"""The session engine in both modes: who is signed in, what is adopted, what concurrent requests do."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth import SESSION_KEY

from sso_common import conf, store, testing
from sso_common.adoption import NEVER_ADOPTED
from sso_common.exceptions import StoreUnavailable
from sso_common.keys import key_id
from sso_common.sessions import SessionStore, UpdateError
from sso_common.store import MARKER
from sso_common.tokens import SessionToken, mint_token
from tests.servers import VALKEY_URL
from tests.sso_common.tools import (
    Anonymous,
    SignedIn,
    anonymous_name,
    counted_commands,
    counted_trips,
    end,
    events,
    has_identity,
    issue,
    names_in_redis,
    record_name,
    site_name,
)

pytestmark = pytest.mark.usefixtures("valkey")


@pytest.fixture(params=[Anonymous, SignedIn], ids=["anonymous", "signed-in"])
def mode(request: pytest.FixtureRequest) -> Anonymous | SignedIn:
    return request.param()


@pytest.fixture
def token(valkey) -> SessionToken:
    return issue("anna")


def _stored(mode: Anonymous | SignedIn, **data: Any) -> SessionStore:
    session = mode.visitor()
    session.update(data)
    session.save()
    return session


def _anonymous(**data: Any) -> str:
    session = SessionStore()
    session.update(data)
    session.save()
    return session.session_key


# --- how often the store is asked --------------------------------------------------------------------


def test_making_a_session_asks_nothing(token: SessionToken) -> None:
    with counted_trips() as trips:
        session = SessionStore("a-key-of-the-host-cookie", token=token)
        assert session.known_identity is None
        assert not session.is_empty()
        assert session.due_extension() is None

    assert len(trips) == 0


def test_all_looks_at_a_signed_in_session_take_one_round_trip(token: SessionToken) -> None:
    session = SessionStore(token=token)

    with counted_trips() as trips:
        assert session.identity.sub == testing.subject("anna")
        assert session.get("a") is None
        assert session.session_key == token.sid
        assert session.token == token
        assert dict(session.items()) == {}

    assert len(trips) == 1


def test_all_looks_at_an_anonymous_session_take_one_round_trip() -> None:
    session = SessionStore(_anonymous(a=1))

    with counted_trips() as trips:
        assert session["a"] == 1
        assert session.identity is None
        assert session.get("b") is None

    assert len(trips) == 1


def test_a_visitor_without_cookies_asks_nothing() -> None:
    session = SessionStore()

    with counted_trips() as trips:
        assert session.get("a") is None
        assert session.identity is None

    assert len(trips) == 0


def test_a_save_is_one_round_trip(mode: Anonymous | SignedIn) -> None:
    session = mode.again(_stored(mode, a=1))
    session["a"] = 2

    with counted_trips() as trips:
        session.save()

    assert len(trips) == 1


def test_a_save_sends_only_what_changed(mode: Anonymous | SignedIn) -> None:
    session = mode.again(_stored(mode, large="unchanged value", small=1))
    session["small"] = 2

    with counted_trips() as trips:
        session.save()

    assert b"unchanged value" not in b"".join(trips.sent)


def test_a_save_without_a_change_writes_no_field(mode: Anonymous | SignedIn, valkey) -> None:
    session = mode.again(_stored(mode, a=1))
    session["a"] = 1

    with counted_commands(valkey.admin) as calls:
        session.save()

    assert calls["evalsha"] == 1
    assert not calls.keys() & {"hset", "hdel", "unlink", "set"}


# --- concurrent requests -------------------------------------------------------------------------------


def test_eight_threads_that_save_different_keys_lose_nothing(mode: Anonymous | SignedIn) -> None:
    session = _stored(mode, start=1)
    token, key = (session.token, None) if isinstance(mode, SignedIn) else (None, session.session_key)

    def save_a_hundred(thread: int) -> None:
        for number in range(100):
            request = SessionStore(key, token=token)
            request[f"{thread}-{number}"] = number
            request.save()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save_a_hundred, range(8)))

    data = dict(mode.again(session).items())
    assert data.pop("start") == 1
    assert data == {f"{thread}-{number}": number for thread in range(8) for number in range(100)}


def test_a_deletion_and_an_addition_both_survive(mode: Anonymous | SignedIn) -> None:
    session = _stored(mode, doomed=1)
    one, other = mode.again(session), mode.again(session)
    del one["doomed"]
    other["new"] = 2

    one.save()
    other.save()

    assert dict(mode.again(session).items()) == {"new": 2}


def test_a_save_does_not_bring_back_a_key_that_another_request_deleted(mode: Anonymous | SignedIn) -> None:
    session = _stored(mode, doomed=1)
    slow, fast = mode.again(session), mode.again(session)
    assert slow["doomed"] == 1
    del fast["doomed"]
    fast.save()

    slow["other"] = 2
    slow.save()

    assert dict(mode.again(session).items()) == {"other": 2}


def test_clear_means_everything_also_what_came_meanwhile(mode: Anonymous | SignedIn) -> None:
    session = _stored(mode, a=1)
    clearing, adding = mode.again(session), mode.again(session)
    assert clearing["a"] == 1
    adding["b"] = 2
    adding.save()

    clearing.clear()
    clearing.save()

    assert dict(mode.again(session).items()) == {}


def test_saving_after_deleting_the_sites_data_writes_all_of_it() -> None:
    mode = SignedIn()
    session = _stored(mode, a=1, b=2)

    session.delete()
    session["c"] = 3
    session.save()

    assert dict(mode.again(session).items()) == {"a": 1, "b": 2, "c": 3}


# --- never resurrected ---------------------------------------------------------------------------------


def test_save_does_not_resurrect_a_session_signed_out_elsewhere(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    end(token)

    with pytest.raises(UpdateError):
        session.save()

    assert names_in_redis() == set()


@pytest.mark.parametrize("verb", ["create", "save", "cycle_key", "flush", "delete"])
def test_nothing_that_a_session_can_do_resurrects_it(token: SessionToken, verb: str) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    end(token)

    try:
        getattr(session, verb)()
        session["b"] = 2
        session.save()
    except UpdateError:
        pass

    assert names_in_redis() == set()
    assert SessionStore(token=token).identity is None


def test_a_late_save_does_not_reach_the_session_that_follows(token: SessionToken) -> None:
    slow = SessionStore(token=token)
    slow["whose"] = "the first one's"
    end(token)
    following = issue("anna")

    with pytest.raises(UpdateError):
        slow.save()

    assert dict(SessionStore(token=following).items()) == {}


def test_adoption_does_not_resurrect(token: SessionToken) -> None:
    key = _anonymous(cart=[1])
    end(token)
    session = SessionStore(key, token=token)

    assert session["cart"] == [1]
    session["more"] = 1
    session.save()

    assert session.session_key == key
    assert not has_identity(token)
    assert not store.client().exists(site_name(token))


# --- who is signed in ------------------------------------------------------------------------------------


def test_a_token_opens_its_session(token: SessionToken) -> None:
    session = SessionStore(token=token)

    assert session.identity.user.username == "anna"
    assert session.session_key == token.sid
    assert session.refusal is None


def _replaced(token: SessionToken, **changes: Any) -> None:
    identity = replace(testing.make_identity(token), **changes)
    testing.store_record(token.sid, testing.sign_record(identity))


def _signed_by_a_stranger(token: SessionToken) -> None:
    record = testing.sign_record(testing.make_identity(token), Ed25519PrivateKey.generate())
    testing.store_record(token.sid, record)


def _deactivated(token: SessionToken) -> None:
    _replaced(token, user=replace(testing.make_identity(token).user, is_active=False))


def _ended_by_not_before(token: SessionToken) -> None:
    identity = testing.make_identity(token)
    _replaced(token, user=replace(identity.user, not_before=identity.auth_time + 1))


REFUSALS = {
    "ended": end,
    "expired": lambda token: _replaced(token, exp=int(time.time())),
    "revoked": _ended_by_not_before,
    "inactive": _deactivated,
    "not-admitted": lambda token: _replaced(token, sites={"site_b": frozenset({"admin"})}),
    "malformed-record": lambda token: testing.store_record(token.sid, b"{}"),
    "unknown-key": _signed_by_a_stranger,
    "bad-signature": lambda token: testing.store_record(
        token.sid, testing.sign_record(testing.make_identity(token))[:-9] + b"AAAAAAAAA"
    ),
    "wrong-session": lambda token: testing.store_record(
        token.sid, testing.sign_record(testing.make_identity(mint_token()))
    ),
    "wrong-secret": lambda token: _replaced(token, bind=mint_token().bind),
}
UNTRUSTED = {"malformed-record", "unknown-key", "bad-signature", "wrong-session", "wrong-secret"}


@pytest.mark.parametrize(("reason", "spoil"), REFUSALS.items(), ids=REFUSALS)
def test_whoever_is_not_signed_in_has_a_reason(token: SessionToken, reason: str, spoil, caplog) -> None:
    caplog.set_level(logging.INFO)
    spoil(token)

    session = SessionStore(token=token)

    assert session.identity is None
    assert session.known_identity is None
    assert session.session_key is None
    assert session.refusal.reason == reason
    (line,) = [each for each in caplog.records if getattr(each, "reason", "") == reason]
    assert line.name == ("django.security.sso" if reason in UNTRUSTED else "sso_common.session")


@pytest.mark.parametrize("spoil", REFUSALS.values(), ids=REFUSALS)
def test_whoever_is_not_signed_in_reads_and_writes_nothing_of_the_session(token: SessionToken, spoil) -> None:
    before = SessionStore(token=token)
    before["private"] = 1
    before.save()
    spoil(token)

    session = SessionStore(token=token)
    assert "private" not in session
    session["mine"] = 2
    session.save()

    assert store.client().hkeys(site_name(token)) in ([MARKER, b"private"], [b"private", MARKER], [])
    assert session.session_key not in (None, token.sid)


@pytest.mark.parametrize("spoil", REFUSALS.values(), ids=REFUSALS)
def test_whoever_is_not_signed_in_keeps_their_anonymous_session(token: SessionToken, spoil) -> None:
    key = _anonymous(cart=[1])
    spoil(token)

    session = SessionStore(key, token=token)

    assert session["cart"] == [1]
    assert session.session_key == key
    assert not session.is_cookie_stale


def test_a_retired_key_opens_nothing_and_a_second_key_does(token: SessionToken, settings) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    dsn = conf.dsn()
    new_key = (key_id(other), other)

    settings.SSO_DSN = str(replace(dsn, public_keys=(new_key, testing.PUBLIC_KEY)))
    assert SessionStore(token=token).identity is not None

    settings.SSO_DSN = str(replace(dsn, public_keys=(new_key,)))
    refused = SessionStore(token=token)
    assert refused.identity is None
    assert refused.refusal.reason == "unknown-key"


def test_one_sites_data_is_invisible_to_the_others(token: SessionToken, settings) -> None:
    at_a = SessionStore(token=token)
    at_a["private"] = "of site_a"
    at_a.save()
    testing.store_record(
        token.sid, testing.sign_record(testing.make_identity(token, sites={"site_a": [], "site_b": []}))
    )

    settings.SSO_DSN = testing.make_dsn("site_b", VALKEY_URL)
    at_b = SessionStore(token=token)

    assert at_b.identity is not None
    assert dict(at_b.items()) == {}


def test_one_sites_anonymous_sessions_are_invisible_to_the_others(settings) -> None:
    key = _anonymous(private=1)

    settings.SSO_DSN = testing.make_dsn("site_b", VALKEY_URL)

    assert dict(SessionStore(key).items()) == {}


def test_another_namespace_is_another_world(token: SessionToken, settings) -> None:
    settings.SSO_DSN = testing.make_dsn("site_a", VALKEY_URL, namespace="staging")

    assert SessionStore(token=token).identity is None


# --- adoption ------------------------------------------------------------------------------------------


def test_what_was_put_in_before_signing_in_is_there_after(token: SessionToken) -> None:
    key = _anonymous(cart=["mug"])

    session = SessionStore(key, token=token)

    assert session["cart"] == ["mug"]
    assert session.is_cookie_stale
    assert dict(SessionStore(token=token).items()) == {"cart": ["mug"]}
    assert not store.client().exists(anonymous_name(key))


def test_what_the_signed_in_session_has_is_not_overwritten(token: SessionToken) -> None:
    before = SessionStore(token=token)
    before["cart"] = ["old"]
    before.save()

    session = SessionStore(_anonymous(cart=["new"], seen=1), token=token)

    assert dict(session.items()) == {"cart": ["old"], "seen": 1}
    assert dict(SessionStore(token=token).items()) == {"cart": ["old"], "seen": 1}


def test_an_adopted_value_can_be_changed_in_the_same_request(token: SessionToken) -> None:
    session = SessionStore(_anonymous(cart=["mug"], gone=1), token=token)

    session["cart"] = ["mug", "plate"]
    del session["gone"]
    session.save()

    assert dict(SessionStore(token=token).items()) == {"cart": ["mug", "plate"]}


def test_adoption_costs_three_round_trips_more_once(token: SessionToken) -> None:
    key = _anonymous(cart=["mug"])
    SessionStore(_anonymous(a=1), token=issue("bert")).resolve()  # the server knows the script

    with counted_trips() as first:
        SessionStore(key, token=token).resolve()
    with counted_trips() as second:
        SessionStore(key, token=token).resolve()

    assert (len(first), len(second)) == (4, 1)


def test_two_requests_that_adopt_at_once_adopt_once(token: SessionToken) -> None:
    key = _anonymous(cart=["mug"])
    anonymous = store.run(store.read_anonymous(key))
    first = SessionStore(key, token=token)
    first["cart"] = ["mug", "plate"]
    first.save()

    late = SessionStore(key, token=token)
    late.run(late._open_signed_in(token, testing.make_identity(token), _as_read_before(anonymous)))

    assert late.is_cookie_stale
    assert SessionStore(token=token)["cart"] == ["mug", "plate"]


def _as_read_before(anonymous: dict[bytes, bytes]) -> store.StoredSession:
    """What a request had read before the other one wrote."""
    return store.StoredSession(record=None, ttl=1000, fields={}, anonymous=anonymous)


def test_an_anonymous_session_that_is_gone_leaves_a_stale_cookie(token: SessionToken) -> None:
    session = SessionStore("expired-or-planted-key", token=token)

    assert dict(session.items()) == {}
    assert session.is_cookie_stale


@pytest.mark.parametrize("name", sorted(NEVER_ADOPTED - {SESSION_KEY}))
def test_what_decides_who_is_signed_in_is_never_adopted(token: SessionToken, name: str) -> None:
    session = SessionStore(_anonymous(**{name: 60, "cart": [1]}), token=token)

    assert dict(session.items()) == {"cart": [1]}
    assert dict(SessionStore(token=token).items()) == {"cart": [1]}


def only_the_cart(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    return {"cart": anonymous["cart"] + [len(signed_in)]}


def nothing(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    anonymous.clear()
    signed_in.clear()
    return {}


def test_a_site_chooses_what_is_adopted(token: SessionToken, settings) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.only_the_cart"

    session = SessionStore(_anonymous(cart=[1], tracking="x"), token=token)

    assert dict(session.items()) == {"cart": [1, 0]}


def test_a_site_may_adopt_nothing_and_its_hook_cannot_spoil_the_session(
    token: SessionToken, settings
) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.nothing"
    before = SessionStore(token=token)
    before["kept"] = 1
    before.save()
    key = _anonymous(cart=[1])

    session = SessionStore(key, token=token)

    assert dict(session.items()) == {"kept": 1}
    assert not store.client().exists(anonymous_name(key))


def test_a_session_that_was_cleared_before_the_first_look_adopts_nothing(token: SessionToken) -> None:
    before = SessionStore(token=token)
    before["a"] = 1
    before.save()
    session = SessionStore(_anonymous(cart=[1]), token=token)

    session.clear()
    session.save()

    assert dict(SessionStore(token=token).items()) == {}


# --- signing in and out ----------------------------------------------------------------------------------


def test_signing_out_ends_the_session_and_leaves_an_empty_one(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    session.save()

    session.sign_out()

    assert not has_identity(token)
    assert not store.client().exists(site_name(token))
    assert session.identity is None
    assert session.is_empty()
    assert len(events("signed_out")) == 1


def test_what_is_put_in_after_signing_out_is_a_new_anonymous_session(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    session.sign_out()

    session["b"] = 2
    session.save()

    assert dict(SessionStore(session.session_key).items()) == {"b": 2}
    assert session.session_key != token.sid


def test_signing_out_twice_or_without_being_signed_in_is_no_error(token: SessionToken) -> None:
    SessionStore().sign_out()
    session = SessionStore(token=token)
    session.sign_out()
    session.sign_out()

    assert len(events("signed_out")) == 1


def test_a_session_whose_user_this_site_refuses_can_still_be_signed_out(token: SessionToken) -> None:
    from sso_common.exceptions import UserInactive

    session = SessionStore(token=token)
    session.resolve()
    session.refuse(UserInactive())
    assert session.identity is None

    session.sign_out()

    assert not has_identity(token)


# --- idle timeout ------------------------------------------------------------------------------------------


def test_a_session_that_was_just_extended_is_not_extended_again(token: SessionToken) -> None:
    SessionStore(token=token).save()
    session = SessionStore(token=token)
    session.resolve()

    assert session.due_extension() is None


@pytest.mark.parametrize(("passed", "due"), [(50, False), (62, True), (3600, True)])
def test_the_idle_timeout_is_extended_at_most_once_a_minute(
    token: SessionToken, passed: int, due: bool
) -> None:
    idle = 12 * 3600
    store.client().pexpire(record_name(token), 1000 * (idle - passed))
    SessionStore(token=token).save()
    session = SessionStore(token=token)
    session.resolve()

    assert (session.due_extension() is not None) is due
    if due:
        assert session.due_extension() == 1000 * idle


def test_a_short_idle_timeout_is_extended_in_time() -> None:
    token = issue("anna", idle=40)
    store.client().pexpire(record_name(token), 15_000)
    session = SessionStore(token=token)
    session.resolve()

    assert session.due_extension() == 40_000


def test_the_idle_timeout_never_passes_the_absolute_expiry() -> None:
    now = int(time.time())
    token = issue("anna", idle=12 * 3600, lifetime=7200)
    with time_machine.travel(now + 3600, tick=False):
        store.client().pexpire(record_name(token), 1_000_000)
        session = SessionStore(token=token)
        session.resolve()

        assert session.due_extension() <= 3600 * 1000


def test_a_session_that_is_refused_is_not_extended(token: SessionToken) -> None:
    from sso_common.exceptions import UserInactive

    store.client().pexpire(record_name(token), 60_000)
    session = SessionStore(token=token)
    session.resolve()
    session.refuse(UserInactive())

    assert session.due_extension() is None


# --- unavailable is never absent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "look",
    [
        lambda session: session.identity,
        lambda session: session.get("a"),
        lambda session: session.session_key,
        lambda session: session.save(),
        lambda session: session.flush(),
        lambda session: session.sign_out(),
        lambda session: session.cycle_key(),
        lambda session: session.exists("some-session-key"),
    ],
    ids=["identity", "get", "session_key", "save", "flush", "sign_out", "cycle_key", "exists"],
)
def test_a_store_that_cannot_answer_is_an_error_and_never_an_empty_session(
    token: SessionToken, valkey, look
) -> None:
    valkey.kill()
    session = SessionStore(token=token)

    with pytest.raises(StoreUnavailable):
        look(session)

    assert session.unavailable is not None


def test_a_store_that_could_not_answer_is_not_asked_again_in_the_same_request(
    token: SessionToken, valkey
) -> None:
    with counted_trips() as trips:
        valkey.pause()
        session = SessionStore(token=token)
        with pytest.raises(StoreUnavailable):
            session.get("a")
        store.outage.end()  # what holds for one request does not depend on the pause for all
        before = len(trips)
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                session.get("a")
        after = len(trips)

    assert after == before
