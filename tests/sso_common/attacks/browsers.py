"""An attacker's browsers, and what none of them may reach."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client

from sso_common import conf

#: The site's own cookie, for anonymous sessions.
COOKIE = "__Host-session"


def browser_with_token(value: str, client: Client | None = None) -> Client:
    """A browser that sends this value as the SSO cookie."""
    client = client or Client()
    client.cookies[conf.dsn().cookie_name] = value
    return client


def browser_with_key(session_key: str) -> Client:
    """A browser that sends the cookie of an anonymous session with this key."""
    client = Client()
    client.cookies[COOKIE] = session_key
    return client


def browser_with_header(header: str) -> Client:
    """A browser whose Cookie header is exactly this."""
    return Client(headers={"cookie": header})


def assert_opens_nothing(client: Client) -> None:
    """Assert that the browser is signed out, sees no data, and is never sent an SSO cookie."""
    assert client.get("/user/").content == b"nobody"
    assert client.get("/identity/").json() == {}
    assert client.get("/show/").json() == {}
    assert client.get("/private/").status_code == 302
    assert client.get("/admin/").status_code == 302
    assert conf.dsn().cookie_name not in client.get("/flush/").cookies
    assert not User.objects.exists()
