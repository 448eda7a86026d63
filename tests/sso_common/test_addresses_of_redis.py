"""Redis over TLS, over a Unix socket, and over a connection that redis-py has for threads only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import override_settings

from demo.parts import Watchdog
from demo.ports import free_port
from sso_common import conf, store, testing
from sso_common.exceptions import StoreUnavailable
from sso_common.sessions import SessionStore
from tests.servers import VALKEY_PASSWORD, ValkeyServer
from tests.timing import WAIT

from .sessions.variants import SignedIn
from .tools import sign_in


class TLSProxy:
    """Speaks TLS with a certificate that it has signed itself, and passes all on to a server."""

    def __init__(self, folder: Path, port: int) -> None:
        self._target = port
        self.certificate = folder / "certificate.pem"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._sockets: list[socket.socket] = []
        write_certificate(self.certificate, folder / "key.pem")
        self._context.load_cert_chain(self.certificate, folder / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                plain, _ = self._listener.accept()
                with contextlib.suppress(OSError):
                    self._connect(plain)

    def _connect(self, plain: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(plain.close)
            inside = self._context.wrap_socket(plain, server_side=True)
            stack.pop_all()
        outside = socket.create_connection(("127.0.0.1", self._target))
        self._sockets += [inside, outside]
        for pair in ((inside, outside), (outside, inside)):
            self._threads.append(threading.Thread(target=self._copy, args=pair, daemon=True))
            self._threads[-1].start()

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
        for thread in self._threads:
            thread.join(WAIT)
        for each in (self._listener, *self._sockets):
            each.close()


def write_certificate(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def proxy(valkey: ValkeyServer, tmp_path: Path) -> Iterator[TLSProxy]:
    proxy = TLSProxy(tmp_path, valkey.port)
    yield proxy
    proxy.close()


@contextlib.contextmanager
def using(url: str, **options: Any) -> Iterator[None]:
    """This site reaches Redis at that address."""
    text = testing.make_dsn("site_a", url)
    entry = conf.cache(text)
    entry["OPTIONS"] |= options
    with override_settings(SSO_DSN=text, CACHES={"sso": entry}):
        yield
        store.client().connection_pool.disconnect()


def is_saved_and_read() -> bool:
    mode = SignedIn()
    session = mode.new_session()
    session["cart"] = ["mug"]
    session.save()
    return dict(mode.next_request(session).items()) == {"cart": ["mug"]}


@pytest.mark.usefixtures("each_store")
def test_sessions_are_the_same_over_tls(valkey: ValkeyServer, proxy: TLSProxy) -> None:
    address = f"rediss://default:{VALKEY_PASSWORD}@127.0.0.1:{proxy.port}/0"

    with using(f"{address}?ssl_ca_certs={proxy.certificate}"):
        assert is_saved_and_read()


@pytest.mark.usefixtures("each_store")
def test_attack_server_with_a_certificate_of_its_own_gets_no_password(
    valkey: ValkeyServer, proxy: TLSProxy
) -> None:
    address = f"rediss://default:{VALKEY_PASSWORD}@127.0.0.1:{proxy.port}/0"

    with using(address), pytest.raises(StoreUnavailable):
        store.ask([("ECHO", "1")])


@pytest.mark.usefixtures("each_store")
def test_sessions_are_the_same_over_a_unix_socket(tmp_path: Path) -> None:
    watchdog, path = Watchdog(), tmp_path / "s"
    server = ValkeyServer(tmp_path, watchdog, free_port(), ["--unixsocket", str(path)])
    server.start()
    try:
        text = testing.make_dsn("site_a", server.url)
        entry = conf.cache(text) | {"LOCATION": f"unix://default:{VALKEY_PASSWORD}@{path}"}
        with override_settings(SSO_DSN=text, CACHES={"sso": entry}):
            assert is_saved_and_read()
            store.client().connection_pool.disconnect()
    finally:
        server.stop()
        watchdog.close()


class OwnConnection(redis.Connection):
    """A site's own, as with Sentinel: redis-py has no such connection for event loops."""


async def test_connection_for_threads_only_uses_threads_of_its_own(valkey: ValkeyServer) -> None:
    loop = asyncio.get_running_loop()
    release, busy = threading.Event(), ThreadPoolExecutor(1)
    loop.set_default_executor(busy)
    blocked = busy.submit(release.wait)
    with using(f"{valkey.url}?client_name=own", CONNECTION_POOL_KWARGS={"connection_class": OwnConnection}):
        session = SessionStore(token=sign_in("anna"))
        await asyncio.wait_for(session.aresolve(), WAIT)
        name = await store.aask([("CLIENT", "GETNAME")])
    release.set()
    blocked.result(WAIT)

    assert session.identity is not None
    assert name == [b"own"]
