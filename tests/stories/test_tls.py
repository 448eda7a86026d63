"""The shipped nginx with TLS in front of everything, as in production."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from demo.topology import free_port
from tests.conftest import need_program
from tests.stories.proxy import tls_proxy
from tests.stories.topology import StoryTopology, story_topology


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
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def ask(topology: StoryTopology, host: str, *lines: str) -> str:
    """Send one request through the proxy, exactly as written; return the response's head."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", topology.options.tls_port)
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        request = ["GET / HTTP/1.1", f"Host: {host}:{topology.options.tls_port}", "Connection: close", *lines]
        connection.sendall("\r\n".join([*request, "", ""]).encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1")


@pytest.mark.browser
def test_one_sign_in_opens_both_sites_behind_tls(tls: StoryTopology, page: Page) -> None:
    page.goto(f"{tls.urls['site_a']}/sso/login/?next=/you/")
    page.fill("input[name=login]", "anna")
    page.fill("input[name=password]", "demo-password-anna")
    page.click("main button[type=submit]")
    page.wait_for_url(f"{tls.urls['site_a']}/you/")

    page.goto(tls.urls["site_b"])

    assert page.url == f"{tls.urls['site_b']}/"
    assert "Anna Arden" in page.inner_text("body")
    (cookie,) = (each for each in page.context.cookies() if each["name"] == "__Secure-story")
    assert (cookie["domain"], cookie["secure"], cookie["httpOnly"]) == (".sso.localhost", True, True)


def test_attack_a_forged_forwarded_header_changes_nothing(tls: StoryTopology) -> None:
    forged = (
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: evil.example",
        "Forwarded: host=evil.example;proto=http",
    )

    head = ask(tls, "a.sso.localhost", *forged)

    assert head.startswith("HTTP/1.1 200")  # and no redirect to https, from https
    assert "evil.example" not in head


def test_attack_a_foreign_host_name_gets_neither_certificate_nor_answer(tls: StoryTopology) -> None:
    with pytest.raises(ssl.SSLError):
        ask(tls, "evil.example")


def test_a_careless_neighbours_cookies_lock_nobody_out(tls: StoryTopology) -> None:
    cookies = "; ".join(f"neighbour{number}={'x' * 4000}" for number in range(3))

    head = ask(tls, "b.sso.localhost", f"Cookie: {cookies}")

    assert head.startswith("HTTP/1.1 200")
