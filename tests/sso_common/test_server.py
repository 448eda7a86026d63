"""Connections that stay open: reused, never shared, and never with an unread answer."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

import pytest
import redis
from redis.exceptions import ResponseError

from sso_common.store import connection
from sso_common.store.server import Server, finish
from tests.servers import VALKEY_URL, ValkeyServer

from .tools import in_child


@pytest.fixture
def pool(valkey: ValkeyServer) -> redis.ConnectionPool:
    pool = redis.ConnectionPool.from_url(VALKEY_URL)
    yield pool
    pool.disconnect()


def connection_id(server: Server) -> int:
    return server.ask([("CLIENT", "ID")])[0]


def test_consecutive_exchanges_use_the_same_connection(pool: redis.ConnectionPool) -> None:
    server = Server(pool)

    assert connection_id(server) == connection_id(server)


def test_concurrent_exchanges_use_different_connections(pool: redis.ConnectionPool) -> None:
    server = Server(pool)
    seen: list[int] = []
    all_have_sent = threading.Barrier(4)

    def use() -> None:
        exchange = server.exchange([("CLIENT", "ID")])
        next(exchange)
        all_have_sent.wait(30)
        seen.extend(finish(exchange))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(seen)) == 4


def test_an_exchange_that_is_not_finished_closes_its_connection(pool: redis.ConnectionPool) -> None:
    server = Server(pool)
    before = connection_id(server)
    abandoned = server.exchange([("ECHO", "another visitor's")])
    next(abandoned)

    abandoned.close()

    assert server.ask([("ECHO", "mine")]) == [b"mine"]
    assert connection_id(server) != before


def test_a_refusal_is_returned_and_the_answers_after_it_are_read(pool: redis.ConnectionPool) -> None:
    server = Server(pool)

    before, refused, after = server.ask([("ECHO", "1"), ("NO-SUCH-COMMAND",), ("ECHO", "2")])

    assert (before, after) == (b"1", b"2")
    assert isinstance(refused, ResponseError)
    assert server.ask([("ECHO", "3")]) == [b"3"]


def test_a_restarted_server_is_sent_the_commands_again(
    pool: redis.ConnectionPool, valkey: ValkeyServer
) -> None:
    server = Server(pool)
    server.ping()

    valkey.restart()

    assert server.ask([("ECHO", "1")]) == [b"1"]


def test_a_limited_pool_has_connections_left_for_its_other_users(valkey: ValkeyServer) -> None:
    pool = redis.ConnectionPool.from_url(VALKEY_URL, max_connections=1)
    server = Server(pool)

    server.ping()

    assert redis.Redis(connection_pool=pool).ping()
    pool.disconnect()


def test_forget_closes_the_open_connections(pool: redis.ConnectionPool) -> None:
    server = Server(pool)
    before = connection_id(server)

    server.forget()

    assert connection_id(server) != before


#: The second runs no at-fork hook of Python, like the fork of uWSGI. It keeps the interpreter's lock.
FORKS = {"os.fork": os.fork, "fork": ctypes.PyDLL(None).fork}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it may have threads; see in_child
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_child_process_does_not_share_its_parents_connections(
    valkey: ValkeyServer, fork: Callable[[], int]
) -> None:
    mine = connection_id(connection.server())

    theirs = int(in_child(lambda: connection_id(connection.server()), fork))

    assert theirs != mine
    assert connection_id(connection.server()) == mine
