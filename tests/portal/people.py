"""Users and browsers for the portal's tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client

from sso_common import conf, store
from sso_common.identity import Identity, verify_identity
from sso_common.tokens import SessionToken, parse_token

HOST = "portal.sso.localhost"
PASSWORD = "correct-horse-battery"


def person(username: str = "anna", **fields: Any) -> Any:
    """A user who can sign in with ``PASSWORD``."""
    return get_user_model().objects.create_user(
        username, f"{username}@example.com", PASSWORD, **{"email_verified": True} | fields
    )


def browser(**defaults: Any) -> Client:
    """A browser at the portal, signed out."""
    return Client(headers={"host": HOST, "user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0"}, **defaults)


def sign_in(client: Client, username: str = "anna", *, remember: bool = False, **data: Any) -> Any:
    """Submit the sign-in form and return the response."""
    form = {"login": username, "password": PASSWORD, **data} | ({"remember": "on"} if remember else {})
    return client.post("/accounts/login/", form)


def token_of(client: Client) -> SessionToken:
    """The session token in a browser's SSO cookie."""
    return parse_token(client.cookies["__Secure-sso"].value)


def identity_of(token: SessionToken, now: float = 0) -> Identity:
    """Return the identity that a site reads, or raise what the site raises."""
    record = store.run(store.read_session(token.sid)).record
    assert record is not None, "the session has ended"
    return verify_identity(record, token, conf.dsn().public_keys, now)


def is_live(sid: str) -> bool:
    """Whether Redis has a record of this session."""
    return store.run(store.read_session(sid)).record is not None


def is_signed_in(client: Client) -> bool:
    """Whether a user is signed in in this browser."""
    return client.get("/").wsgi_request.user.is_authenticated
