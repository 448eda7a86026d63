"""Compares the throughput of a page in the two projects, each served by one process of granian.

The client is a closed loop: a few connections, each with one request at a time.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo.parts import Part, Watchdog, stop_all
from demo.ports import free_port

from .pairs import Effort, Ratio, compare
from .world import World

PROJECTS = ("ours", "stock")
#: Interface -> (page, application, granian's options), the same as for Notes and Shop in `make demo`.
INTERFACES = {
    "WSGI": ("/page/", "wsgi:get_wsgi_application", ["--interface", "wsgi", "--blocking-threads", "4"]),
    "ASGI": ("/async-page/", "asgi:get_asgi_application", ["--interface", "asginl"]),
}
CONNECTIONS = 4
REQUESTS = 15  # per connection and turn; turns are short, so that the machine's load is the same for both
EXPECTED = b"Signed in as anna."

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


def measure(world: World, interface: str, effort: Effort) -> Ratio:
    """Compare the requests per second of both projects."""
    with serve(world, interface) as ports, ThreadPoolExecutor(CONNECTIONS) as threads:
        clients = {name: connect(world, interface, name, ports[name]) for name in PROJECTS}
        rate = {name: functools.partial(measure_rate, threads, clients[name]) for name in PROJECTS}
        for name in PROJECTS * 10:
            rate[name]()  # warm up
        return compare(rate["ours"], rate["stock"], effort)


@contextlib.contextmanager
def serve(world: World, interface: str) -> Iterator[dict[str, int]]:
    _, application, options = INTERFACES[interface]
    ports = {name: free_port() for name in PROJECTS}
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory(prefix="sso-bench-") as folder:
        parts = []
        for name, port in ports.items():
            command = [sys.executable, "-W", "ignore", "-m", "granian", "--workers", "1", "--no-ws"]
            command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
            command += [*options, "--factory", f"django.core.{application}"]
            log = Path(folder, f"{name}.log")
            parts.append(Part(name, command, world.environment_of(name), log, watchdog))
        try:
            for part in parts:
                part.start()
            for part, port in zip(parts, ports.values(), strict=True):
                wait_for(part, port)
            yield ports
        finally:
            stop_all(parts)
            watchdog.close()


def wait_for(part: Part, port: int) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if not part.is_running():
            break
        time.sleep(0.02)
    raise SystemExit(f"{part.name} did not start:\n{part.tail()}")


class Client:
    """A connection. A general HTTP client would take as long as the page itself."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n"
        self._request = headers.encode("ascii")

    def get(self, times: int) -> None:
        for _ in range(times):
            self._socket.sendall(self._request)
            answer = self._socket.recv(65536)
            while (body := answer.find(b"\r\n\r\n")) < 0 or len(answer) < body + 4 + content_length(answer):
                answer += self._more(answer)
            if not answer.startswith(b"HTTP/1.1 200") or EXPECTED not in answer:
                raise SystemExit(f"Unexpected response:\n{answer.decode('utf-8', 'replace')}")

    def _more(self, answer: bytes) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise SystemExit(f"The server closed the connection after {answer[:200]!r}.")
        return data


def content_length(answer: bytes) -> int:
    match = LENGTH.search(answer)
    assert match, answer
    return int(match[1])


def connect(world: World, interface: str, name: str, port: int) -> list[Client]:
    return [Client(port, INTERFACES[interface][0], world.cookie(name)) for _ in range(CONNECTIONS)]


def measure_rate(threads: ThreadPoolExecutor, clients: list[Client]) -> float:
    began = time.perf_counter()
    for _ in threads.map(lambda client: client.get(REQUESTS), clients):
        pass
    return len(clients) * REQUESTS / (time.perf_counter() - began)
