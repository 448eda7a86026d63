"""A primary and its replica swap roles: refused writes are 503, then the new primary is found."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from demo.parts import Watchdog
from demo.ports import free_port
from sso_common import conf, store, testing
from sso_common.exceptions import StoreUnavailable
from sso_common.sessions import SessionStore
from tests.servers import VALKEY_PASSWORD, ValkeyServer, until, wait_until_replicated

from .tools import has_identity, sets_no_cookie, sign_in, token_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_store")]


class Address:
    """An address that leads to one server or the other, like a virtual IP or a DNS name.

    An open connection keeps leading to the server for which it was opened.
    """

    def __init__(self, target: ValkeyServer) -> None:
        self.target = target
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(("127.0.0.1", self.target.port))
                self._sockets += [inside, outside]
                for pair in ((inside, outside), (outside, inside)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    watchdog = Watchdog()
    options = ["--masterauth", VALKEY_PASSWORD, "--repl-diskless-sync-delay", "0"]
    servers = [
        ValkeyServer(tmp_path_factory.mktemp(name), watchdog, free_port(), options) for name in ("one", "two")
    ]
    try:
        for server in servers:
            server.start()
        yield servers[0], servers[1]
    finally:
        for server in servers:
            server.kill()
        watchdog.close()


@pytest.fixture
def pair(started: tuple[ValkeyServer, ValkeyServer]) -> tuple[ValkeyServer, ValkeyServer]:
    """An empty primary, and its replica, which is up to date."""
    primary, replica = started
    primary.ask("REPLICAOF", "NO", "ONE")
    primary.clear()
    follow(replica, primary)
    return primary, replica


@pytest.fixture
def address(pair: tuple[ValkeyServer, ValkeyServer]) -> Iterator[Address]:
    """The address of Redis in the site's settings. It leads to the primary."""
    address = Address(pair[0])
    text = testing.make_dsn("site_a", f"redis://default:{VALKEY_PASSWORD}@127.0.0.1:{address.port}/0")
    with override_settings(SSO_DSN=text, CACHES={"sso": conf.cache(text)}):
        store.outage.end()
        yield address
        store.client().connection_pool.disconnect()
    address.close()


def follow(replica: ValkeyServer, primary: ValkeyServer) -> None:
    replica.ask("REPLICAOF", "127.0.0.1", primary.port)
    until(lambda: replica.admin.info("replication")["master_link_status"] == "up")


def swap_roles(primary: ValkeyServer, replica: ValkeyServer) -> None:
    """Promote the replica, and make the former primary follow it. No connection is closed."""
    wait_until_replicated(primary, replica)
    replica.ask("REPLICAOF", "NO", "ONE")
    follow(primary, replica)


def test_a_write_that_a_replica_refuses_is_503(
    pair: tuple[ValkeyServer, ValkeyServer], address: Address
) -> None:
    primary, replica = pair
    client = Client()
    testing.sign_in(client)
    assert client.get("/put/?a=1", secure=True).status_code == 200
    swap_roles(primary, replica)  # the address still leads to the former primary

    response = client.get("/put/?b=2", secure=True)
    assert (response.status_code, sets_no_cookie(response)) == (503, True)
    assert "Retry-After" in response.headers
    with pytest.raises(StoreUnavailable):
        store.run(store.end_session(token_of(client).sid, "anna"))
    assert has_identity(token_of(client))

    replica.ask("REPLICAOF", "127.0.0.1", primary.port)
    primary.ask("REPLICAOF", "NO", "ONE")
    assert client.get("/put/?c=3", secure=True).json() == {"a": "1", "c": "3"}


def test_a_refused_write_opens_new_connections(
    pair: tuple[ValkeyServer, ValkeyServer], address: Address
) -> None:
    primary, replica = pair
    token = sign_in()
    session = SessionStore(token=token)
    session["a"] = 1
    session.save()
    swap_roles(primary, replica)
    address.target = replica

    # The open connection leads to the former primary, which is a replica now.
    session["b"] = 2
    with pytest.raises(StoreUnavailable, match="ReadOnly"):
        session.save()
    session = SessionStore(token=token)
    session["b"] = 2
    session.save()

    assert dict(SessionStore(token=token).items()) == {"a": 1, "b": 2}
    assert replica.admin.hlen(store.site_key(conf.dsn().namespace, token.sid, "site_a")) == 3


def test_a_session_ended_at_the_new_primary_is_not_read_from_the_former_forever(
    pair: tuple[ValkeyServer, ValkeyServer], address: Address
) -> None:
    primary, replica = pair
    token, other = sign_in(), sign_in()
    assert SessionStore(token=token).identity is not None
    swap_roles(primary, replica)
    primary.ask("REPLICAOF", "NO", "ONE")  # isolated: it gets no more changes, and answers reads
    primary.ask("REPLICAOF", "127.0.0.1", "1")
    address.target = replica
    replica.admin.unlink(store.identity_key(conf.dsn().namespace, token.sid))

    # One visitor's refused write closes the connections of all.
    with pytest.raises(StoreUnavailable):
        store.run(store.extend_session(other.sid, 100_000_000))

    assert SessionStore(token=token).identity is None
    assert SessionStore(token=other).identity is not None


def test_a_dead_primary_is_replaced_at_once(
    pair: tuple[ValkeyServer, ValkeyServer], address: Address
) -> None:
    primary, replica = pair
    token = sign_in()
    wait_until_replicated(primary, replica)
    primary.kill()
    replica.ask("REPLICAOF", "NO", "ONE")
    address.target = replica

    session = SessionStore(token=token)
    session["a"] = 1
    session.save()

    assert dict(SessionStore(token=token).items()) == {"a": 1}
    primary.start()
