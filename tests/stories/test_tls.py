"""The shipped nginx configuration with TLS in front of all parts, as in production."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, Page

from demo.ports import free_port
from sso_common.dsn import parse_dsn
from tests.conftest import need_program
from tests.stories.nginx import tls_proxy
from tests.stories.people import EVERYWHERE, Person, Visitor
from tests.stories.test_cart import put_into_cart
from tests.stories.topology import StoryTopology, story_topology
from tests.timing import WAIT

#: One of the demo's users: this topology needs no others.
ANNA = Person("", "anna", "anna@example.com", "Anna Arden", "demo-password-anna")


@pytest.fixture(scope="module")
def tls() -> Iterator[StoryTopology]:
    nginx, port = need_program("nginx"), free_port()
    with (
        tempfile.TemporaryDirectory(prefix="sso-tls-") as folder,
        story_topology(Path(folder), tls_port=port) as topology,
        tls_proxy(nginx, topology.options),
    ):
        yield topology


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(1000 * WAIT)
    yield context.new_page()
    context.close()


def ask(
    topology: StoryTopology, host: str, *lines: str, target: str = "/", host_header: str | None = None
) -> str:
    """Send one request through nginx, exactly as written; return the head of the response."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", topology.options.tls_port)
    with (
        socket.create_connection(address, timeout=WAIT) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        host_header = host_header or f"{host}:{topology.options.tls_port}"
        request = [f"GET {target} HTTP/1.1", f"Host: {host_header}", "Connection: close", *lines]
        connection.sendall("\r\n".join([*request, "", ""]).encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1")


@pytest.mark.browser
def test_sign_in_cart_and_sign_out_work_behind_tls(tls: StoryTopology, page: Page) -> None:
    visitor = Visitor(page, tls)

    chosen = put_into_cart(visitor, 1)
    visitor.open("site_a", "/you/")
    asked_at = visitor.path
    visitor.fill_in(ANNA)
    landed_at = visitor.path
    visitor.forget()
    visitor.open("site_b", "/cart/")
    redirects, cart = visitor.redirects(), visitor.text
    cookie = visitor.sso_cookie or {}
    everywhere = visitor.signed_in_at()
    visitor.sign_out("site_b")

    assert (asked_at, landed_at) == ("portal/accounts/login/", "site_a/you/")
    assert redirects == []
    assert ANNA.name in cart
    assert chosen[0] in cart
    assert (cookie["domain"], cookie["secure"], cookie["httpOnly"]) == (".sso.localhost", True, True)
    assert everywhere == set(EVERYWHERE)
    assert visitor.sso_cookie is None
    assert visitor.signed_in_at() == set()


def test_every_page_sends_strict_transport_security(tls: StoryTopology) -> None:
    for host in ("portal", "a", "b"):
        head = ask(tls, f"{host}.sso.localhost").lower()
        assert "strict-transport-security: max-age=" in head


def test_plain_http_is_redirected_to_https(tls: StoryTopology) -> None:
    for part, address in tls.urls.items():
        answer = tls.get(part, "/", headers={"X-Forwarded-Proto": "http"})
        assert answer.status == 301
        assert answer.headers["Location"] == f"{address}/"


def test_the_acl_of_redis_is_enforced(tls: StoryTopology) -> None:
    dsn = parse_dsn(tls.dsns["site_a"])
    with (
        redis.Redis.from_url(dsn.redis_login_url) as site_a,
        redis.Redis(port=tls.redis_port) as stranger,
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            site_a.hgetall("story:{x}:site:site_b")
        with pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
        assert site_a.ping()


def test_attack_a_forged_forwarded_header_changes_nothing(tls: StoryTopology) -> None:
    forged = (
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: evil.example",
        "Forwarded: host=evil.example;proto=http",
    )

    head = ask(tls, "a.sso.localhost", *forged)

    assert head.startswith("HTTP/1.1 200")  # and no redirect to https, from https
    assert "evil.example" not in head


@pytest.mark.parametrize(
    ("target", "host_header"),
    [
        ("/sso/login/", "a.sso.localhost:4444"),
        ("https://a.sso.localhost/sso/login/", "evil.example"),
    ],
    ids=["another-port", "another-host-beside-an-absolute-address"],
)
def test_attack_a_host_header_does_not_change_the_addresses_in_redirects(
    tls: StoryTopology, target: str, host_header: str
) -> None:
    head = ask(tls, "a.sso.localhost", target=target, host_header=host_header)

    assert head.startswith("HTTP/1.1 302")
    assert f"a.sso.localhost%3A{tls.options.tls_port}%2F" in head
    assert host_header not in head
    assert "4444" not in head


def test_attack_a_foreign_host_name_gets_neither_certificate_nor_response(tls: StoryTopology) -> None:
    with pytest.raises(ssl.SSLError):
        ask(tls, "evil.example")


def test_large_cookies_of_a_neighbouring_site_lock_no_user_out(tls: StoryTopology) -> None:
    cookies = "; ".join(f"neighbour{number}={'x' * 4000}" for number in range(3))

    head = ask(tls, "b.sso.localhost", f"Cookie: {cookies}")

    assert head.startswith("HTTP/1.1 200")
