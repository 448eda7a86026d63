"""An HTTP proxy that holds back a request or a response until a story releases it.

It passes everything else through unchanged. A "slow response" is an order of events, and no test
has to guess how long slow is.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: Seconds, as a safety net: a story does several things while a response is held back.
LONGEST = 120.0


@dataclass
class Held:
    """What the proxy holds back: a ``request`` or a ``response`` with a text in its address."""

    text: str
    what: str
    _arrived: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    def wait_until_here(self) -> None:
        """Return when it has reached the proxy. The site has then written a held response."""
        assert self._arrived.wait(LONGEST), f"No {self.what} with {self.text!r} came."

    def release(self) -> None:
        """Pass it on."""
        self._released.set()

    def pass_by(self) -> None:
        """Hold the first one until it is released; let later ones pass. The proxy calls this."""
        if not self._arrived.is_set():
            self._arrived.set()
            self._released.wait(LONGEST)


class SlowProxy:
    """``with proxy.holding("response", "?slow") as held: ...`` releases what it holds at its end."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        proxy = self

        class Handler(_Handler):
            def hold(self, what: str) -> None:
                for each in [each for each in proxy._held if each.what == what and each.text in self.path]:
                    each.pass_by()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address for the browser's proxy setting."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def holding(self, what: str, text: str) -> Iterator[Held]:
        """Hold the first request or response with this text in its address."""
        held = Held(text, what)
        self._held.append(held)
        try:
            yield held
        finally:
            held.release()
            self._held.remove(held)

    def close(self) -> None:
        """Stop the proxy."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LONGEST)


class _Handler(BaseHTTPRequestHandler):
    def hold(self, what: str) -> None:
        raise NotImplementedError

    def forward(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hold("request")
        path = address.path + (f"?{address.query}" if address.query else "")
        status, headers, answer = self._fetch(address.port or 80, path, body, dict(self.headers))
        self.hold("response")
        try:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in {
                    "transfer-encoding",
                    "connection",
                    "content-length",
                    "date",
                    "server",
                }:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            return  # the browser has given up

    do_GET = do_POST = forward  # noqa: N815  names that http.server looks for

    def _fetch(
        self, port: int, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)
        try:
            sent = {name: value for name, value in headers.items() if "proxy" not in name.lower()}
            connection.request(self.command, path, body=body, headers={**sent, "Connection": "close"})
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""
