"""Connections at hand: used again and again, never by two at once, never with an answer left on them."""

from __future__ import annotations

import os
import threading

import pytest
import redis
from redis.exceptions import ResponseError

from sso_common.store.server import Server
from tests.servers import VALKEY_URL, ValkeyServer, until
from tests.timing import WAIT


@pytest.fixture
def pool(valkey: ValkeyServer) -> redis.ConnectionPool:
    pool = redis.ConnectionPool.from_url(VALKEY_URL)
    yield pool
    pool.disconnect()


def _connection_id(server: Server) -> int:
    return server.ask([("CLIENT", "ID")])[0]


def test_one_after_the_other_uses_the_same_connection(pool: redis.ConnectionPool) -> None:
    server = Server(pool)

    assert _connection_id(server) == _connection_id(server)


def test_two_at_once_use_two(pool: redis.ConnectionPool, valkey: ValkeyServer) -> None:
    server = Server(pool)
    seen: list[int] = []

    def wait_for_an_answer() -> None:
        seen.extend(server.ask([("CLIENT", "ID"), ("BLPOP", "queue", "60")])[:1])

    threads = [threading.Thread(target=wait_for_an_answer) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: valkey.admin.info("clients")["blocked_clients"] == 4)
    valkey.admin.rpush("queue", *range(4))
    for thread in threads:
        thread.join(WAIT)

    assert len(set(seen)) == 4


def test_a_refusal_is_an_answer_and_the_others_are_read(pool: redis.ConnectionPool) -> None:
    server = Server(pool)

    before, refused, after = server.ask([("ECHO", "1"), ("NO-SUCH-COMMAND",), ("ECHO", "2")])

    assert (before, after) == (b"1", b"2")
    assert isinstance(refused, ResponseError)
    assert server.ask([("ECHO", "3")]) == [b"3"]


def test_a_server_that_was_started_anew_is_no_failure(
    pool: redis.ConnectionPool, valkey: ValkeyServer
) -> None:
    server = Server(pool)
    server.ping()

    valkey.restart()

    assert server.ask([("ECHO", "1")]) == [b"1"]


def test_a_pool_with_a_limit_has_connections_left_for_its_other_users(valkey: ValkeyServer) -> None:
    pool = redis.ConnectionPool.from_url(VALKEY_URL, max_connections=1)
    server = Server(pool)

    server.ping()

    assert redis.Redis(connection_pool=pool).ping()
    pool.disconnect()


def test_forgetting_closes_what_is_at_hand(pool: redis.ConnectionPool) -> None:
    server = Server(pool)
    before = _connection_id(server)

    server.forget()

    assert _connection_id(server) != before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it may have threads; see below
def test_a_child_process_does_not_share_its_parents_connections(valkey: ValkeyServer) -> None:
    from sso_common.store import connection

    mine = _connection_id(connection.server())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing but this, in the only thread that the child has
        os.write(writing, str(_connection_id(connection.server())).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        theirs = int(answer.read())

    assert theirs != mine
    assert _connection_id(connection.server()) == mine
