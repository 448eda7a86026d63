"""A small portal for the tests of a site: it answers requests to the feed over HTTP and signs its answers.

tests/portal tests the real portal, and tests/stories runs the two together.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sso_common import keys, testing
from sso_common.requests import answer_header, answer_payload, parse_authorization, verify_request
from sso_common.snapshot import UserSnapshot, tombstone


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Portal:
    """Answers at ``url``. Change its users through ``put`` and ``delete``."""

    def __init__(self) -> None:
        self.head = 0
        self.people: dict[uuid.UUID, UserSnapshot] = {}
        self.nonces: list[str] = []
        self.headers: list[dict[str, str]] = []
        #: The roles of the site, as the status names them; None for an older portal.
        self.roles: list[str] | None = ["editor", "staff"]
        self.requests: list[str] = []
        #: Called before each answer, with the request's path.
        self.before: Callable[[str], None] = lambda path: None
        #: Changes the signed answer: (status, headers, body) -> the same.
        self.tamper: Callable[[int, dict[str, str], bytes], tuple[int, dict[str, str], bytes]] = (
            lambda status, headers, body: (status, headers, body)
        )
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread: threading.Thread | None = None
        self.start()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, username: str, **fields: Any) -> UserSnapshot:
        """Create or change a user: a new version each time."""
        sub = fields.pop("sub", testing.subject(username))
        known = self.people.get(sub) or UserSnapshot(
            sub=sub, version=0, username=username, email=f"{username}@example.com", email_verified=True
        )
        self.head += 1
        self.people[sub] = replace(known, **{"deleted": False, **fields, "version": self.head})
        return self.people[sub]

    def delete(self, username: str) -> None:
        """Delete a user: a tombstone with a new version."""
        sub = testing.subject(username)
        self.head += 1
        self.people[sub] = tombstone(sub, self.head)

    def page(self, after: int, limit: int) -> dict[str, Any]:
        found = sorted(
            (each for each in self.people.values() if each.version > after), key=lambda each: each.version
        )
        page, more = found[:limit], len(found) > limit
        return {
            "users": [each.to_wire() for each in page],
            "cursor": page[-1].version if more else max(after, self.head),
            "more": more,
            "head": self.head,
        }

    def status(self) -> dict[str, Any]:
        known = {} if self.roles is None else {"roles": self.roles}
        return {
            "time": time.time(),
            "kids": [testing.PUBLIC_KEY[0]],
            "head": self.head,
            "portal": "ok",
            **known,
        }


def _handler(portal: Portal) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            portal.requests.append(self.path)
            portal.headers.append(dict(self.headers))
            portal.before(self.path)
            authorization = parse_authorization(self.headers["Authorization"])
            secret = keys.derive(b"only for tests".ljust(keys.KEY_BYTES, b"."), f"site:{authorization.site}")
            nonce = verify_request(authorization, [keys.SiteKeys(secret)], "GET", self.path)
            portal.nonces.append(nonce)
            query = {key: int(values[0]) for key, values in parse_qs(urlsplit(self.path).query).items()}
            raw = portal.status() if "status" in self.path else portal.page(query["after"], query["limit"])
            body = json.dumps(raw).encode()
            signature = testing._private_key.sign(answer_payload(nonce, body))
            header = answer_header(testing.PUBLIC_KEY[0], signature)
            status, headers, body = portal.tamper(200, {"SSO-Signature": header}, body)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
