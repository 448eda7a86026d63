"""A cluster behaves as one server does, and a node's trouble stays its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.core.cache import caches
from django.test import Client, override_settings
from redis.crc import key_slot

from sso_common import conf, store, testing
from sso_common.dsn import parse_dsn
from sso_common.exceptions import InvalidDsn, StoreUnavailable
from sso_common.sessions import SessionStore
from sso_common.store import topology
from sso_common.store.outage import Outage
from sso_common.tokens import SessionToken, mint_token
from tests.servers import (
    VALKEY_PASSWORD,
    ValkeyCluster,
    ValkeyServer,
    until,
    valkey_cluster,
    wait_until_replicated,
)
from tests.timing import TRIES, WAIT, tries_within

from .tools import (
    Anonymous,
    SignedIn,
    anonymous_name,
    counted_commands,
    counted_trips,
    end,
    events,
    has_identity,
    issue,
    record_name,
    site_name,
    token_of,
)


@pytest.fixture(scope="module")
def started() -> Iterator[ValkeyCluster]:
    with valkey_cluster() as servers:
        yield servers


@pytest.fixture
def servers(started: ValkeyCluster) -> Iterator[ValkeyCluster]:
    """The cluster, running and empty; this site is at it."""
    started.clear()
    text = testing.make_dsn("site_a", started.url)
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        forget_outages()
        yield started
    started.ensure_running()


def forget_outages() -> None:
    """Ask a node again that has just let somebody wait."""
    client: Any = store.client()
    client.outages.clear()


@pytest.fixture(params=[Anonymous, SignedIn])
def mode(request: pytest.FixtureRequest, servers: ValkeyCluster) -> Any:
    return request.param()


def token_on(servers: ValkeyCluster, node: ValkeyServer) -> SessionToken:
    """Somebody whose session is on a node."""
    while True:
        token = issue()
        if servers.primary_of(record_name(token)) is node:
            return token


def anonymous_on(servers: ValkeyCluster, node: ValkeyServer, **data: Any) -> SessionStore:
    """A visitor whose anonymous session is on a node."""
    while True:
        session = SessionStore()
        session.update(data)
        session.save()
        if servers.primary_of(anonymous_name(str(session.session_key))) is node:
            return session


def read(token: SessionToken) -> SessionStore:
    """The next request of somebody who is signed in."""
    session = SessionStore(token=token)
    session.resolve()
    return session


def assert_refused_in_time(action: Callable[[], object]) -> None:
    """Check that an action raises ``StoreUnavailable`` within the promised time."""
    for attempt in tries_within(1.5):
        forget_outages()
        with attempt, pytest.raises(StoreUnavailable):
            action()


def wait_for_refresh() -> None:
    """Return when no thread refreshes the topology: its round trips would be counted with the test's."""
    client: Any = store.client()
    assert client.refresh_within(WAIT)


# --- as one server --------------------------------------------------------------------------------


def test_a_session_is_saved_read_changed_and_flushed(mode: Any) -> None:
    for number in range(12):  # on all nodes
        session = mode.visitor()
        session["number"], session["gone"] = number, True
        session.save()

        again = mode.again(session)
        assert again["number"] == number
        del again["gone"]
        again.save()
        assert dict(mode.again(session).items()) == {"number": number}

        again.flush()
        assert not mode.is_stored(session)
        assert dict(mode.again(session).items()) == {}


def test_requests_at_once_that_change_different_keys_both_survive(mode: Any) -> None:
    session = mode.visitor()
    session["first"] = 0
    session.save()
    one, other = mode.again(session), mode.again(session)
    one["one"], other["other"] = 1, 2

    one.save()
    other.save()

    assert dict(mode.again(session).items()) == {"first": 0, "one": 1, "other": 2}


def test_save_does_not_resurrect_a_session_signed_out_elsewhere(servers: ValkeyCluster) -> None:
    for node in servers.primaries():
        token = token_on(servers, node)
        session = read(token)
        end(token)

        session["cart"] = 1
        with pytest.raises(UpdateError):
            session.save()

        assert not has_identity(token)
        assert not store.client().exists(site_name(token))


def test_an_anonymous_session_is_adopted_from_another_node(servers: ValkeyCluster) -> None:
    first, second, _ = servers.primaries()
    token = token_on(servers, first)
    anonymous = anonymous_on(servers, second, cart=[1, 2])

    session = SessionStore(anonymous.session_key, token=token)
    assert session["cart"] == [1, 2]

    assert session.is_cookie_stale
    assert read(token)["cart"] == [1, 2]
    assert not store.run(store.anonymous_exists(str(anonymous.session_key)))


def test_sign_out_ends_the_session_and_says_so(servers: ValkeyCluster) -> None:
    for node in servers.primaries():
        token = token_on(servers, node)
        session = read(token)
        session["cart"] = 1
        session.save()

        session.sign_out()

        assert read(token).identity is None
        assert not store.client().exists(site_name(token))
        assert events("signed_out")[-1][b"sid"] == token.sid.encode()


def test_touch_extends_a_session_and_never_shortens_it(servers: ValkeyCluster) -> None:
    for node in servers.primaries():
        token = token_on(servers, node)
        session = read(token)
        session["cart"] = 1
        session.save()
        client: Any = store.client()
        client.pexpire(record_name(token), 5_000)

        store.run(store.extend_session(token.sid, 60_000, is_first_visit=False))
        store.run(store.extend_session(token.sid, 1_000, is_first_visit=False))

        assert client.pttl(record_name(token)) > 50_000
        assert client.pttl(site_name(token)) > 50_000


def test_an_event_wakes_whoever_waits_for_one(servers: ValkeyCluster) -> None:
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(store.wait_for_user_event("0", 60_000)))
    waiting.start()

    until(lambda: any("xread" in str(node.admin.client_list()) for node in servers.nodes))
    client: Any = store.client()
    client.xadd(store.events_key(conf.namespace()), {"type": "first_seen"})
    event = client.xadd(store.events_key(conf.namespace()), {"type": "user"})
    waiting.join(WAIT)

    assert found == [event.decode()]
    assert store.wait_for_user_event(event.decode(), 20) is None


def test_a_signed_in_read_is_one_round_trip_to_one_node(servers: ValkeyCluster) -> None:
    first, *others = servers.primaries()
    token = token_on(servers, first)
    read(token)

    with (
        counted_commands(others[0].admin) as second,
        counted_commands(others[1].admin) as third,
        counted_trips() as trips,
    ):
        assert read(token).identity is not None
        sent = len(trips)

    assert sent == 1
    assert not {"get", "pttl", "hgetall"} & {*second, *third}


def test_a_page_is_served_and_signed_out_of(servers: ValkeyCluster, db: None) -> None:
    client = Client()
    testing.sign_in(client, "anna")

    assert client.get("/put/?colour=blue", secure=True).json() == {"colour": "blue"}
    assert client.get("/user/", secure=True).content == b"anna"
    client.get("/sign-out/", secure=True)

    assert client.get("/user/", secure=True).content == b"nobody"
    assert not has_identity(token_of(client))


def test_the_cache_is_a_cache_like_any_other(servers: ValkeyCluster) -> None:
    cache = caches["sso"]

    for number in range(12):
        assert cache.add(f"key {number}", number, 60)
        assert not cache.add(f"key {number}", -1, 60)

    assert [cache.get(f"key {number}") for number in range(12)] == list(range(12))
    assert all(cache.delete(f"key {number}") for number in range(12))


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_serve(servers: ValkeyCluster, protocol: int) -> None:
    text = testing.make_dsn("site_a", f"{servers.url}?protocol={protocol}")
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        client: Any = store.client()
        answers = client.client_info(target_nodes=client.get_primaries()).values()
        assert {int(each["resp"]) for each in answers} == {protocol}
        session = SessionStore(token=issue())
        session["cart"] = 1
        session.save()
        event = client.xadd(store.events_key(conf.namespace()), {"type": "user"})

        assert read(session.token)["cart"] == 1
        assert store.wait_for_user_event("0", 2000) == event.decode()


# --- slots that move ------------------------------------------------------------------------------


def open_slot(slot: int, source: ValkeyServer, target: ValkeyServer) -> None:
    """Begin to move a slot: what is not at its node any more is asked of the other one."""
    target.ask("CLUSTER SETSLOT", slot, "IMPORTING", source.ask("CLUSTER MYID"))
    source.ask("CLUSTER SETSLOT", slot, "MIGRATING", target.ask("CLUSTER MYID"))


def close_slot(slot: int, target: ValkeyServer, *others: ValkeyServer) -> None:
    """The slot is moved, and everybody knows: the target first, which thereby outranks the source."""
    for node in (target, *others):
        node.ask("CLUSTER SETSLOT", slot, "NODE", target.ask("CLUSTER MYID"))


def test_a_session_is_read_and_saved_while_its_slot_moves_to_another_node(servers: ValkeyCluster) -> None:
    source, target, bystander = servers.primaries()
    token = token_on(servers, source)
    session = read(token)
    session["before"] = 1
    session.save()
    slot = key_slot(record_name(token).encode())

    open_slot(slot, source, target)
    assert read(token)["before"] == 1
    for key in (record_name(token), site_name(token)):
        where = ("127.0.0.1", target.port, key, 0, 1000)
        source.ask("MIGRATE", *where, "AUTH2", "default", VALKEY_PASSWORD)
    moving = read(token)
    moving["during"] = 2
    moving.save()
    close_slot(slot, target, source, bystander)
    moved = read(token)
    moved["after"] = 3
    moved.save()

    assert dict(read(token).items()) == {"before": 1, "during": 2, "after": 3}
    wait_for_refresh()
    with counted_trips() as trips:
        read(token)
    assert len(trips) == 1, "the move was learned"
    # Back, for the other tests.
    servers.clear()
    open_slot(slot, target, source)
    close_slot(slot, source, target, bystander)


# --- nodes in trouble -----------------------------------------------------------------------------


def test_a_dead_node_takes_only_its_own_sessions_along_until_its_replica_takes_over(
    servers: ValkeyCluster,
) -> None:
    first = servers.replicated()
    second, _ = servers.lonely()
    there, elsewhere = token_on(servers, first), token_on(servers, second)
    session = read(there)
    session["cart"] = 1
    session.save()
    (replica,) = servers.replicas()
    wait_until_replicated(first, replica)
    replica.pause()  # it must not take over before the dead node was missed
    first.kill()

    assert_refused_in_time(lambda: read(there))
    assert read(elsewhere).identity is not None
    # The replica is promoted after a few seconds; the site finds it without being told.
    replica.resume()
    until(lambda: is_readable(there))
    assert read(there)["cart"] == 1
    wait_for_refresh()
    with counted_trips() as trips:
        read(there)
    assert len(trips) == 1


def is_readable(token: SessionToken) -> bool:
    try:
        return read(token).identity is not None
    except StoreUnavailable:
        return False


def changed(token: SessionToken) -> Iterator[SessionStore]:
    """Requests that have read a session, changed it and not saved it yet: one for each try."""
    sessions = [read(token) for _ in range(TRIES)]
    for session in sessions:
        session["cart"] = 1
    return iter(sessions)


def test_a_paused_node_keeps_nobody_waiting(servers: ValkeyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = servers.lonely()
    there, elsewhere = token_on(servers, first), token_on(servers, second)
    anonymous = anonymous_on(servers, first, cart=1)
    ready = changed(there)
    monkeypatch.setattr(Outage, "PAUSE", 60.0)  # it must not be over before the test is

    with counted_trips() as trips:
        first.pause()
        assert_refused_in_time(lambda: read(there))
        assert_refused_in_time(lambda: SessionStore(anonymous.session_key).load())
        assert_refused_in_time(lambda: store.run(store.end_session(there.sid, "anna")))
        assert_refused_in_time(
            lambda: store.run(store.extend_session(there.sid, 100_000, is_first_visit=False))
        )
        assert_refused_in_time(lambda: next(ready).save())
        wait_for_refresh()
        read(elsewhere)  # may open a new connection, which costs more
        before = len(trips)
        assert read(elsewhere).identity is not None
        with pytest.raises(StoreUnavailable, match="recent"):
            read(there)
        after = len(trips)

    assert after == before + 1, "only the node that answers was asked"


def test_a_paused_cluster_keeps_nobody_waiting(servers: ValkeyCluster) -> None:
    token = issue()
    ready = changed(token)
    for node in servers.nodes:
        node.pause()

    assert_refused_in_time(lambda: read(token))
    assert_refused_in_time(lambda: next(ready).save())


def test_sessions_survive_the_restart_of_a_node(servers: ValkeyCluster) -> None:
    node = servers.lonely()[0]  # no replica takes over if the start takes long
    token = token_on(servers, node)
    session = read(token)
    session["cart"] = 1
    session.save()

    node.restart()
    servers.wait_until_well()

    assert read(token)["cart"] == 1


def test_a_process_starts_while_the_first_address_of_the_dsn_is_dead(servers: ValkeyCluster) -> None:
    token = token_on(servers, servers.primaries()[1])
    _, _, hosts = servers.url.rpartition("@")
    url = servers.url.replace("redis-cluster:", "redis:").replace(hosts, f"127.0.0.1:1,{hosts}")

    client = topology.connect(url, conf.READ_TIMEOUT)

    assert client.get(record_name(token)) is not None
    client.close()


def test_a_node_that_is_taken_for_the_only_server_makes_nobody_absent(servers: ValkeyCluster) -> None:
    first, second, _ = servers.primaries()
    token = token_on(servers, second)
    text = testing.make_dsn("site_a", first.url)
    entry = conf.cache(text)
    with (
        override_settings(SSO_DSN=text, CACHES={"sso": entry}),
        pytest.raises(StoreUnavailable, match="Moved"),
    ):
        read(token)


@pytest.mark.parametrize(
    "redis_url",
    ["redis://a:1,b:2", "redis-cluster://a:1,,b:2", "redis-cluster://a:1,b:0", "redis-cluster://a:1,b:x"],
)
def test_an_address_that_cannot_be_a_clusters_is_refused(redis_url: str) -> None:
    with pytest.raises(InvalidDsn):
        parse_dsn(testing.make_dsn("site_a", redis_url))


def test_a_clusters_address_keeps_its_nodes_and_options_and_gets_the_sites_user() -> None:
    dsn = parse_dsn(testing.make_dsn("site_a", "rediss-cluster://x:y@a:1,[::1]:2?ssl_ca_certs=/ca"))
    bare = replace(dsn, redis_url="rediss-cluster://a,b:2")

    assert dsn.redis_login_url == "rediss://x:y@a:1,[::1]:2?ssl_ca_certs=/ca"
    assert bare.redis_login_url == f"rediss://sso-test-site_a:{bare.site_keys[0].redis_password}@a,b:2"
    assert topology.split_host("[::1]:2") == ("::1", 2)
    assert topology.split_host("a") == ("a", 6379)


def test_a_cluster_that_is_not_there_is_unavailable_and_not_an_error(servers: ValkeyCluster) -> None:
    text = testing.make_dsn("site_a", "redis-cluster://127.0.0.1:1,127.0.0.1:2")
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        with pytest.raises(StoreUnavailable):
            store.ping()
        with pytest.raises(StoreUnavailable):
            read(mint_token())
