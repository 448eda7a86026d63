"""The idle timeout: a request that reads the session extends it, at most once a minute."""

from __future__ import annotations

import pytest
import time_machine
from django.http import HttpRequest, HttpResponse
from django.test import Client

from sso_common import store, testing
from sso_common.idle import due_extension
from sso_common.middleware import SessionMiddleware
from sso_common.tokens import mint_token
from tests.servers import VALKEY_URL, ValkeyServer
from tests.sso_common.tools import (
    counted_trips,
    end,
    expire_in,
    names_in_redis,
    record_name,
    request_with,
    sign_in,
    site_name,
    token_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey", "each_store")]

HOUR = 3600
IDLE = 12 * HOUR


@pytest.fixture
def visitor(client: Client) -> Client:
    """The browser of a user who is signed in and has visited this site before."""
    testing.sign_in(client, "anna")
    client.get("/user/")
    return client


def milliseconds_left(name: str) -> int:
    return store.client().pttl(name)


def read_session(request: HttpRequest) -> HttpResponse:
    assert request.session.identity is not None
    return HttpResponse("the page")


# --- when an extension is due ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle", "lifetime", "ttl", "extension"),
    [
        (IDLE, 7 * 86400, IDLE - 59.999, None),
        (IDLE, 7 * 86400, IDLE - 60, IDLE),
        (40, 7 * 86400, 20.001, None),
        (40, 7 * 86400, 20, 40),
        (IDLE, HOUR, 1000, HOUR),
    ],
    ids=[
        "within a minute",
        "after a minute",
        "short timeout, first half",
        "short timeout, second half",
        "never beyond the expiry",
    ],
)
def test_extension_is_due_after_a_minute_or_half_of_a_short_timeout(
    idle: int, lifetime: int, ttl: float, extension: int | None
) -> None:
    with time_machine.travel(1_800_000_000, tick=False):
        identity = testing.make_identity(mint_token(), idle=idle, lifetime=lifetime)

        due = due_extension(identity, int(1000 * ttl))

    assert due == (None if extension is None else 1000 * extension)


# --- extending in a request ------------------------------------------------------------------


def test_first_visit_extends_a_session_only_if_that_is_due() -> None:
    token = sign_in("anna")

    with counted_trips() as trips:
        SessionMiddleware(read_session)(request_with(token))

    assert len(trips) == 1
    assert names_in_redis() == {record_name(token).encode()}


def test_page_that_does_not_read_the_session_extends_nothing() -> None:
    token = sign_in("anna")
    expire_in(token, HOUR)

    SessionMiddleware(lambda request: HttpResponse())(request_with(token)).close()

    assert milliseconds_left(record_name(token)) <= 1000 * HOUR


def test_session_is_extended_at_most_once_a_minute(visitor: Client) -> None:
    token = token_of(visitor)
    expire_in(token, HOUR)

    with counted_trips() as first:
        visitor.get("/show/")
    extended = store.client().pexpiretime(record_name(token))
    with counted_trips() as later:
        for _ in range(5):
            visitor.get("/show/")

    assert (len(first), len(later)) == (2, 5)
    assert milliseconds_left(record_name(token)) > 1000 * (IDLE - HOUR)
    assert store.client().pexpiretime(record_name(token)) == extended


def test_cart_is_there_as_long_as_other_sites_keep_the_session_alive(client: Client) -> None:
    """They extend the record and must not touch this site's data, which waits for the visitor until the
    session expires, and no longer."""
    testing.sign_in(client, "anna", lifetime=2 * IDLE)
    client.get("/user/")

    client.get("/put/?cart=mug")

    assert 1000 * (2 * IDLE - HOUR) < milliseconds_left(site_name(token_of(client))) <= 1000 * 2 * IDLE


def test_extension_by_one_site_is_enough_for_all(settings) -> None:
    token = sign_in("anna", sites={"site_a": [], "site_b": []})
    expire_in(token, HOUR)
    SessionMiddleware(read_session)(request_with(token))
    settings.SSO_DSN = testing.make_dsn("site_b", VALKEY_URL)

    with counted_trips() as trips:
        SessionMiddleware(read_session)(request_with(token))

    assert len(trips) == 1


def test_unchanged_page_extends_the_session(visitor: Client, settings) -> None:
    """Django's middleware replaces the response that ours has seen by a 304."""
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware", *settings.MIDDLEWARE]
    token, cookies = token_of(visitor), visitor.cookies
    visitor = Client()  # with the new middleware
    visitor.cookies = cookies
    etag = visitor.get("/user/")["ETag"]
    expire_in(token, HOUR)

    response = visitor.get("/user/", headers={"if-none-match": etag})

    assert response.status_code == 304
    assert milliseconds_left(record_name(token)) > 1000 * (IDLE - HOUR)


def test_session_that_ends_during_the_request_is_not_extended() -> None:
    token = sign_in("anna")

    def view(request: HttpRequest) -> HttpResponse:
        response = read_session(request)
        end(token)
        return response

    SessionMiddleware(view)(request_with(token))

    assert names_in_redis() == set()


def test_failed_extension_is_only_logged(visitor: Client, valkey: ValkeyServer, caplog) -> None:
    token = token_of(visitor)
    expire_in(token, HOUR)

    def view(request: HttpRequest) -> HttpResponse:
        response = read_session(request)
        valkey.kill()
        return response

    response = SessionMiddleware(view)(request_with(token))

    assert (response.status_code, response.content) == (200, b"the page")
    assert "Idle timeout not extended" in caplog.text
