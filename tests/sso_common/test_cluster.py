"""A cluster behaves like one server, and a node that fails affects only its own sessions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
import redis.asyncio.connection
from django.contrib.sessions.backends.base import UpdateError
from django.core.cache import caches
from django.test import Client, override_settings
from redis.crc import key_slot

from sso_common import conf, store, testing
from sso_common.dsn import parse_dsn
from sso_common.exceptions import InvalidDsn, StoreUnavailable
from sso_common.sessions import SessionStore
from sso_common.store import connection, topology
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

from .sessions.variants import Anonymous, SignedIn
from .tools import (
    SYNC,
    anonymous_name,
    counted_commands,
    counted_trips,
    end,
    events,
    has_identity,
    record_name,
    sign_in,
    site_name,
    token_of,
)


@pytest.fixture(scope="module")
def started() -> Iterator[ValkeyCluster]:
    with valkey_cluster() as servers:
        yield servers


@pytest.fixture
def servers(started: ValkeyCluster, each_store: None) -> Iterator[ValkeyCluster]:
    """The cluster, running and empty. This site uses it."""
    started.clear()
    text = testing.make_dsn("site_a", started.url)
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        forget_outages()
        yield started
    started.ensure_running()


def forget_outages() -> None:
    """Send commands to nodes that have just timed out, too."""
    store.outage.end()
    topology.start_client(conf.dsn().redis_login_url).result(WAIT).outages.clear()


@pytest.fixture(params=[Anonymous, SignedIn])
def mode(request: pytest.FixtureRequest, servers: ValkeyCluster) -> Any:
    return request.param()


def token_on(servers: ValkeyCluster, node: ValkeyServer) -> SessionToken:
    """A signed-in session that is on a node."""
    while True:
        token = sign_in()
        if servers.primary_of(record_name(token)) is node:
            return token


def anonymous_on(servers: ValkeyCluster, node: ValkeyServer, **data: Any) -> SessionStore:
    """An anonymous session that is on a node."""
    while True:
        session = SessionStore()
        session.update(data)
        session.save()
        if servers.primary_of(anonymous_name(str(session.session_key))) is node:
            return session


def read(token: SessionToken) -> SessionStore:
    """The session in the next request of a signed-in user."""
    session = SessionStore(token=token)
    session.resolve()
    return session


def fails_in_time(action: Callable[[], object]) -> bool:
    """Return whether an action finds the store unavailable within 1.5 s."""
    for attempt in tries_within(1.5):
        forget_outages()
        with attempt, pytest.raises((StoreUnavailable, redis.ConnectionError)):
            action()
    return True


def changed(token: SessionToken) -> Iterator[SessionStore]:
    """Requests that have read a session, changed it and not saved it yet: one for each try."""
    sessions = [read(token) for _ in range(TRIES)]
    for session in sessions:
        session["cart"] = 1
    return iter(sessions)


def wait_for_refresh() -> None:
    """Return when no thread refreshes the topology: its round trips would be counted with the test's."""
    client: Any = store.client()
    assert client.refresh_within(WAIT)


# --- like one server ------------------------------------------------------------------------------


def test_a_session_is_saved_read_changed_and_flushed(mode: Any) -> None:
    for number in range(12):  # on all nodes
        session = mode.new_session()
        session["number"], session["gone"] = number, True
        session.save()

        again = mode.next_request(session)
        assert again["number"] == number
        del again["gone"]
        again.save()
        assert dict(mode.next_request(session).items()) == {"number": number}

        again.flush()
        assert not mode.is_stored(session)
        assert dict(mode.next_request(session).items()) == {}


def test_concurrent_changes_of_different_keys_both_survive(mode: Any) -> None:
    session = mode.new_session()
    session["first"] = 0
    session.save()
    one, other = mode.next_request(session), mode.next_request(session)
    one["one"], other["other"] = 1, 2

    one.save()
    other.save()

    assert dict(mode.next_request(session).items()) == {"first": 0, "one": 1, "other": 2}


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


def test_sign_out_ends_the_session_and_adds_an_event(servers: ValkeyCluster) -> None:
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
        client = store.client()
        client.pexpire(record_name(token), 5_000)

        store.run(store.extend_session(token.sid, 60_000))
        store.run(store.extend_session(token.sid, 1_000))

        assert client.pttl(record_name(token)) > 50_000


def test_an_event_wakes_a_waiting_process(servers: ValkeyCluster) -> None:
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(store.wait_for_user_event("0", 10_000)))
    waiting.start()

    until(lambda: any("xread" in str(node.admin.client_list()) for node in servers.nodes))
    client = store.client()
    client.xadd(store.events_key(conf.dsn().namespace), {"type": "other"})
    event = client.xadd(store.events_key(conf.dsn().namespace), {"type": "user"})
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


def test_a_page_knows_the_user_until_sign_out(servers: ValkeyCluster, db: None) -> None:
    client = Client()
    testing.sign_in(client, "anna")

    assert client.get("/put/?colour=blue", secure=True).json() == {"colour": "blue"}
    assert client.get("/user/", secure=True).content == b"anna"
    client.get("/sign-out/", secure=True)

    assert client.get("/user/", secure=True).content == b"nobody"
    assert not has_identity(token_of(client))


def test_the_cache_works_on_all_nodes(servers: ValkeyCluster) -> None:
    cache = caches["sso"]

    for number in range(12):
        assert cache.add(f"key {number}", number, 60)
        assert not cache.add(f"key {number}", -1, 60)

    assert [cache.get(f"key {number}") for number in range(12)] == list(range(12))
    assert all(cache.delete(f"key {number}") for number in range(12))


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_work(servers: ValkeyCluster, protocol: int) -> None:
    text = testing.make_dsn("site_a", f"{servers.url}?protocol={protocol}")
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        client: Any = store.client()
        answers = client.client_info(target_nodes=client.get_primaries()).values()
        assert {int(each["resp"]) for each in answers} == {protocol}
        session = SessionStore(token=sign_in())
        session["cart"] = 1
        session.save()
        event = client.xadd(store.events_key(conf.dsn().namespace), {"type": "user"})

        assert read(session.token)["cart"] == 1
        assert store.wait_for_user_event("0", 2000) == event.decode()


# --- slots that move ------------------------------------------------------------------------------


def open_slot(slot: int, source: ValkeyServer, target: ValkeyServer) -> None:
    """Begin to move a slot: for a key that has moved already, its node refers to the other one."""
    target.ask("CLUSTER SETSLOT", slot, "IMPORTING", source.ask("CLUSTER MYID"))
    source.ask("CLUSTER SETSLOT", slot, "MIGRATING", target.ask("CLUSTER MYID"))


def close_slot(slot: int, target: ValkeyServer, *others: ValkeyServer) -> None:
    """Tell all nodes that the slot has moved. The target must be first, so that it outranks the source."""
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
    assert len(trips) == 1, "the client has not learned that the slot moved"
    # Move it back, for the other tests.
    servers.clear()
    open_slot(slot, target, source)
    close_slot(slot, source, target, bystander)


# --- nodes that fail ------------------------------------------------------------------------------


def test_a_dead_node_affects_only_its_sessions_until_its_replica_takes_over(servers: ValkeyCluster) -> None:
    first = servers.replicated()
    second, _ = servers.lonely()
    there, elsewhere = token_on(servers, first), token_on(servers, second)
    session = read(there)
    session["cart"] = 1
    session.save()
    (replica,) = servers.replicas()
    wait_until_replicated(first, replica)
    replica.pause()  # it must not take over before the test has found the node dead

    first.kill()

    assert fails_in_time(lambda: read(there))
    assert read(elsewhere).identity is not None
    # The replica is promoted after a few seconds, and requests find it.
    replica.resume()
    until(lambda: is_readable(there))
    assert read(there)["cart"] == 1
    wait_for_refresh()
    until(lambda: cost_of_reading(there) == 1)  # once the last connection to the dead node is replaced


def cost_of_reading(token: SessionToken) -> int:
    with counted_trips() as trips:
        read(token)
    return len(trips)


def is_readable(token: SessionToken) -> bool:
    try:
        return read(token).identity is not None
    except StoreUnavailable:
        return False


def test_a_paused_node_delays_only_its_own_sessions(
    servers: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "PAUSE", 60)
    first, second = servers.lonely()
    there, elsewhere = token_on(servers, first), token_on(servers, second)
    anonymous = anonymous_on(servers, first, cart=1)
    ready = changed(there)
    first.pause()

    assert fails_in_time(lambda: read(there))
    assert fails_in_time(lambda: SessionStore(anonymous.session_key).load())
    assert fails_in_time(lambda: store.run(store.end_session(there.sid, "anna")))
    assert fails_in_time(lambda: store.run(store.extend_session(there.sid, 100_000)))
    assert fails_in_time(lambda: next(ready).save())
    with pytest.raises(StoreUnavailable, match="recent"):  # is refused before anything is sent
        read(there)
    assert read(elsewhere).identity is not None


def test_a_paused_cluster_delays_no_request_for_long(servers: ValkeyCluster) -> None:
    token = sign_in()
    ready = changed(token)
    for node in servers.nodes:
        node.pause()

    assert fails_in_time(lambda: read(token))
    assert fails_in_time(lambda: next(ready).save())
    assert fails_in_time(lambda: caches["sso"].get("key"))


def forget_clients() -> None:
    """Know as little of the cluster as a process that has just started."""
    topology.clients_of_process.cache_clear()
    connection.client_of_process.cache_clear()
    connection.server_of_process.cache_clear()


def test_a_cluster_that_hangs_when_a_process_starts_is_an_outage(
    servers: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "PAUSE", 60)
    token = sign_in()
    for node in servers.nodes:
        node.pause()

    for attempt in tries_within(1.5):
        forget_clients()
        store.outage.end()
        with attempt, pytest.raises(StoreUnavailable):
            read(token)
    with pytest.raises(StoreUnavailable, match="recent"):  # is refused before anything is sent
        read(token)

    for node in servers.nodes:
        node.resume()
    monkeypatch.setattr(Outage, "PAUSE", 0)
    store.outage.end()
    until(lambda: is_readable(token))


def test_the_cache_on_a_paused_node_fails_in_time_and_then_at_once(
    servers: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "PAUSE", 60)
    cache: Any = caches["sso"]
    first, second = servers.lonely()
    keys = [f"key {number}" for number in range(100)]
    there = next(key for key in keys if servers.primary_of(cache.make_key(key)) is first)
    elsewhere = next(key for key in keys if servers.primary_of(cache.make_key(key)) is second)
    cache.set(elsewhere, 1)
    first.pause()

    assert fails_in_time(lambda: cache.get(there))
    assert fails_in_time(lambda: cache.delete(there))
    with pytest.raises(StoreUnavailable, match="recent"):
        cache.delete(there)
    assert cache.get(elsewhere) == 1


def test_commands_are_sent_to_all_nodes_before_an_answer_is_read(
    servers: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = servers.primaries()
    token, anonymous = token_on(servers, first), anonymous_on(servers, second)
    store.run(store.read_session(token.sid, anonymous.session_key))  # opens the connections
    calls: list[str] = []
    for kind, name, call in (
        (SYNC, "send_packed_command", "send"),
        (asyncio.StreamWriter, "write", "send"),
        (SYNC, "read_response", "read"),
        (redis.asyncio.connection.AbstractConnection, "read_response", "read"),
    ):
        method = getattr(kind, name)

        def record(*args: Any, call: str = call, method: Any = method, **options: Any) -> Any:
            calls.append(call)
            return method(*args, **options)

        monkeypatch.setattr(kind, name, record)

    store.run(store.read_session(token.sid, anonymous.session_key))

    assert calls == ["send"] * 2 + ["read"] * 4


def test_a_node_that_hangs_leaves_no_answer_on_the_connections_to_others(servers: ValkeyCluster) -> None:
    first, second = servers.lonely()
    token = token_on(servers, first)
    one, other = (anonymous_on(servers, second, name=name) for name in ("one", "other"))
    first.pause()

    with pytest.raises(StoreUnavailable):
        store.run(store.read_session(token.sid, one.session_key))

    assert SessionStore(other.session_key)["name"] == "other"


def test_a_connection_that_a_node_has_closed_is_replaced(servers: ValkeyCluster) -> None:
    token = sign_in()
    read(token)
    for node in servers.nodes:
        node.admin.client_kill_filter(_type="normal", skipme=True)

    assert read(token).identity is not None


def test_sessions_survive_the_restart_of_a_node(servers: ValkeyCluster) -> None:
    node = servers.primaries()[1]
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


def test_a_node_taken_for_a_single_server_is_unavailable_and_not_empty(servers: ValkeyCluster) -> None:
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
def test_an_invalid_cluster_address_is_refused(redis_url: str) -> None:
    with pytest.raises(InvalidDsn):
        parse_dsn(testing.make_dsn("site_a", redis_url))


def test_a_cluster_address_keeps_its_nodes_and_options_and_gets_the_sites_user() -> None:
    dsn = parse_dsn(testing.make_dsn("site_a", "rediss-cluster://x:y@a:1,[::1]:2?ssl_ca_certs=/ca"))
    bare = replace(dsn, redis_url="rediss-cluster://a,b:2")

    assert dsn.redis_login_url == "rediss://x:y@a:1,[::1]:2?ssl_ca_certs=/ca"
    assert bare.redis_login_url == f"rediss://sso-test-site_a:{bare.site_keys[0].redis_password}@a,b:2"
    assert topology.split_host("[::1]:2") == ("::1", 2)
    assert topology.split_host("a") == ("a", 6379)


def test_an_unreachable_cluster_is_unavailable(servers: ValkeyCluster) -> None:
    text = testing.make_dsn("site_a", "redis-cluster://127.0.0.1:1,127.0.0.1:2")
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        with pytest.raises(StoreUnavailable):
            store.ping()
        with pytest.raises(StoreUnavailable):
            read(mint_token())
