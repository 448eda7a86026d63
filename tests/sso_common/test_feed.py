"""The client of the feed: what it sends, what it accepts, and how it fails."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous.encoding import base64_encode

from sso_common import client, conf, feed, testing
from sso_common.exceptions import (
    BadSignature,
    MalformedFeed,
    MalformedSnapshot,
    PortalUnavailable,
    RequestRefused,
    SSOError,
    UnknownKey,
)
from sso_common.keys import key_id
from tests.sso_common.portal import Portal
from tests.timing import WAIT, tries_within


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=portal.url):
        yield portal
    portal.close()


# --- what it sends ---------------------------------------------------------------------------


def test_fetch_page_returns_verified_users(portal: Portal) -> None:
    portal.put("ada", first_name="Ada", roles=frozenset({"editor"}))
    portal.put("bob")

    page = feed.fetch_page(0, 1)

    assert [(user.username, user.first_name, user.roles) for user in page.users] == [
        ("ada", "Ada", {"editor"})
    ]
    assert (page.cursor, page.more, page.head) == (1, True, 2)
    assert portal.requests == ["/sso/v1/users?after=0&limit=1"]


def test_page_size_is_a_setting(portal: Portal) -> None:
    with override_settings(SSO_FEED_PAGE=7):
        feed.fetch_page(0)

    assert portal.requests == ["/sso/v1/users?after=0&limit=7"]


def test_each_request_has_a_new_nonce(portal: Portal) -> None:
    for _ in range(3):
        feed.fetch_status()

    assert len(set(portal.nonces)) == 3


def test_host_header_is_that_of_the_portal_at_an_internal_url(portal: Portal) -> None:
    feed.fetch_status()

    assert portal.headers[0]["Host"] == conf.dsn().portal_url.removeprefix("https://")


def test_status_has_the_skew_of_the_clocks(portal: Portal) -> None:
    portal.put("ada")
    honest = portal.status
    portal.status = lambda: honest() | {"time": time.time() + 100}  # type: ignore[method-assign]

    with time_machine.travel(time.time(), tick=False):
        status = feed.fetch_status()

    assert status.skew == pytest.approx(100)
    assert (status.head, status.kids) == (1, (testing.PUBLIC_KEY[0],))


def test_request_contains_no_secret(portal: Portal) -> None:
    feed.fetch_status()

    sent = json.dumps([portal.requests, portal.headers])
    keys = conf.dsn().site_keys[0]
    for secret in (keys.secret, keys.request_key):
        assert base64_encode(secret).decode() not in sent


# --- what it accepts -------------------------------------------------------------------------


def _changed_body(status: int, headers: dict[str, str], body: bytes) -> Any:
    return status, headers, body.replace(b"ada", b"eve")


def _no_signature(status: int, headers: dict[str, str], body: bytes) -> Any:
    return status, {}, body


def _broken_signature(status: int, headers: dict[str, str], body: bytes) -> Any:
    return status, {"SSO-Signature": headers["SSO-Signature"] + "!"}, body


def _other_key(status: int, headers: dict[str, str], body: bytes) -> Any:
    key = Ed25519PrivateKey.generate()
    kid = key_id(key.public_key().public_bytes_raw())
    return status, {"SSO-Signature": f"{kid}.{base64_encode(key.sign(body)).decode()}"}, body


def _other_key_under_a_known_id(status: int, headers: dict[str, str], body: bytes) -> Any:
    signature = base64_encode(Ed25519PrivateKey.generate().sign(body)).decode()
    return status, {"SSO-Signature": f"{testing.PUBLIC_KEY[0]}.{signature}"}, body


@pytest.mark.parametrize(
    ("tamper", "error"),
    [
        (_changed_body, BadSignature),
        (_no_signature, UnknownKey),
        (_broken_signature, BadSignature),
        (_other_key, UnknownKey),
        (_other_key_under_a_known_id, BadSignature),
    ],
)
def test_attack_forged_answer_is_refused(portal: Portal, tamper: Any, error: type[SSOError]) -> None:
    portal.put("ada")
    portal.tamper = tamper

    with pytest.raises(error):
        feed.fetch_page(0)


def test_attack_replayed_answer_is_refused(portal: Portal) -> None:
    portal.put("ada")
    kept: list[Any] = []

    def keep(status: int, headers: dict[str, str], body: bytes) -> Any:
        kept.append((status, headers, body))
        return kept[0]

    portal.tamper = keep
    feed.fetch_page(0)
    portal.put("ada", is_active=False)

    with pytest.raises(BadSignature):
        feed.fetch_page(0)


def snapshot(version: int) -> dict[str, Any]:
    return testing.make_identity(testing.mint_token(), f"u{version}", version=version).user.to_wire()


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"users": {}, "cursor": 1, "more": False, "head": 1},
        {"users": [], "cursor": 1, "more": "no", "head": 1},
        {"users": [], "cursor": "1", "more": False, "head": 1},
        {"users": [], "cursor": True, "more": False, "head": 1},
        {"users": [], "cursor": 2**63, "more": False, "head": 1},
        {"users": [], "cursor": 5, "more": False, "head": -1},
        # It would never end.
        {"users": [], "cursor": 5, "more": True, "head": 9},
        # The cursor goes back.
        {"users": [], "cursor": 4, "more": False, "head": 9},
        # Users after the cursor would never be fetched.
        {"users": [snapshot(9)], "cursor": 8, "more": True, "head": 9},
        {"users": [snapshot(9), snapshot(8)], "cursor": 9, "more": False, "head": 9},
        # A user from before the requested position.
        {"users": [snapshot(5)], "cursor": 6, "more": False, "head": 9},
    ],
)
def test_malformed_page_is_refused(raw: Any) -> None:
    with pytest.raises(MalformedFeed):
        feed.parse_page(raw, 5)


def test_page_with_a_malformed_snapshot_is_refused() -> None:
    with pytest.raises(MalformedSnapshot):
        feed.parse_page({"users": [{"sub": 1}], "cursor": 9, "more": False, "head": 9}, 5)


@given(
    raw=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["users", "cursor", "more", "head", "sub", "version"]), inner, max_size=6
            )
        ),
        max_leaves=12,
    ),
    after=st.integers(0, 10),
)
def test_any_answer_is_a_page_or_an_error_of_ours(raw: Any, after: int) -> None:
    try:
        page = feed.parse_page(raw, after)
    except (MalformedFeed, MalformedSnapshot):
        return
    assert page.cursor >= after


# --- how it fails ----------------------------------------------------------------------------


def answering(status: int, body: bytes = b"", **headers: str) -> Any:
    return lambda *_: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("tamper", "error", "words"),
    [
        (answering(401, b'{"error": "bad-signature", "time": 0}'), RequestRefused, "bad-signature"),
        (answering(401, b'{"error": "unknown-site", "time": 0}'), RequestRefused, "unknown-site"),
        (answering(404, b"<html>"), RequestRefused, "HTTP 404"),
        (answering(401, b'{"error": "\\u001b[31m", "time": 0}'), RequestRefused, "HTTP 401"),
        (answering(400, b"[]"), RequestRefused, "HTTP 400"),
        (answering(503, b"{}"), PortalUnavailable, "HTTP 503"),
        (answering(502), PortalUnavailable, "HTTP 502"),
        (answering(429), PortalUnavailable, "HTTP 429"),
    ],
)
def test_refusal_says_why(portal: Portal, tamper: Any, error: type[SSOError], words: str) -> None:
    portal.tamper = tamper

    with pytest.raises(error) as caught:
        feed.fetch_status()

    assert words in str(caught.value)


def test_refusal_because_of_the_clock_says_so(portal: Portal) -> None:
    portal.tamper = lambda *_: (401, {}, json.dumps({"error": "stale", "time": time.time() + 90}).encode())

    with (
        time_machine.travel(time.time(), tick=False),
        pytest.raises(RequestRefused, match=r"clock is -90 s off"),
    ):
        feed.fetch_status()


def test_attack_redirect_is_not_followed(portal: Portal) -> None:
    portal.tamper = answering(302, Location="https://evil.example/sso/v1/status")

    with pytest.raises(RequestRefused, match=r"evil\.example"):
        feed.fetch_status()

    assert len(portal.requests) == 1


def test_attack_endless_answer_is_cut_off(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_BYTES", 1000)
    portal.tamper = answering(200, b"x" * 5000)

    with pytest.raises(PortalUnavailable):
        feed.fetch_status()


def test_portal_that_refuses_connections_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with override_settings(SSO_PORTAL_INTERNAL_URL=url), pytest.raises(PortalUnavailable) as caught:
            feed.fetch_status()

    assert url in str(caught.value)


def test_portal_that_never_answers_is_unavailable(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.2)
    release = threading.Event()
    portal.before = lambda path: release.wait(WAIT) and None

    for attempt in tries_within(5):
        with attempt, pytest.raises(PortalUnavailable, match="Timeout"):
            feed.fetch_status()
    release.set()


def test_portal_that_answers_byte_by_byte_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEADLINE", 0.3)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):  # hung up on
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with override_settings(SSO_PORTAL_INTERNAL_URL=url), pytest.raises(PortalUnavailable):
            feed.fetch_status()
        stop.set()
        thread.join(60)


def test_answer_that_is_not_http_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"hello\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with override_settings(SSO_PORTAL_INTERNAL_URL=url), pytest.raises(PortalUnavailable):
            feed.fetch_status()
        thread.join(60)


def test_signature_depends_on_the_time(portal: Portal) -> None:
    with time_machine.travel(1_800_000_000, tick=False):
        first = client.authorization("GET", "/sso/v1/status", "0" * 32)
        assert client.authorization("GET", "/sso/v1/status", "0" * 32) == first
    with time_machine.travel(1_800_000_001, tick=False):
        assert client.authorization("GET", "/sso/v1/status", "0" * 32) != first


def test_attack_deeply_nested_error_answer_is_a_refusal() -> None:
    assert isinstance(client.refusal(400, HTTPMessage(), b"[" * 100_000), RequestRefused)
