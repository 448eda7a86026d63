"""``request.user`` and ``request.sso`` of a user who is signed in at the portal, and signing out."""

from __future__ import annotations

import time

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client

from sso_common import conf, store, testing
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.models import Account
from tests.sso_common.tools import (
    events,
    expire_in,
    has_identity,
    names_in_redis,
    record_name,
    request_with,
    token_of,
)


def test_first_visit_creates_the_local_user_without_the_portal(client: Client) -> None:
    identity = testing.sign_in(client, "anna", first_name="Anna")

    assert client.get("/user/").content == b"anna"

    user = User.objects.get()
    assert (user.username, user.first_name, user.email) == ("anna", "Anna", "anna@example.com")
    assert not user.has_usable_password()
    assert Account.objects.get().sub == identity.sub


def test_request_sso_is_the_identity(visitor: Client) -> None:
    testing.sign_in(visitor, "anna", roles=["editor"])

    assert visitor.get("/identity/").json() == {"sub": str(testing.subject("anna")), "roles": ["editor"]}


def test_request_sso_is_false_for_an_anonymous_visitor(client: Client) -> None:
    assert client.get("/identity/").json() == {}


def test_sign_out_at_another_site_takes_effect_at_the_next_request(visitor: Client) -> None:
    testing.sign_out(visitor)

    assert visitor.get("/user/").content == b"nobody"
    assert visitor.get("/identity/").json() == {}


def test_deactivated_user_is_signed_out_and_the_session_not_extended(visitor: Client) -> None:
    token = token_of(visitor)
    Account.objects.update(is_active=False)
    expire_in(token, 60)

    assert visitor.get("/user/").content == b"nobody"
    assert store.client().pttl(record_name(token)) <= 60_000


def test_refused_user_has_no_identity(visitor: Client) -> None:
    Account.objects.update(not_before=2**40)

    def view(request: HttpRequest) -> HttpResponse:
        assert not request.user.is_authenticated
        return HttpResponse("signed in" if request.sso else "anonymous")

    site = SessionMiddleware(AuthenticationMiddleware(view))

    assert site(request_with(token_of(visitor))).content == b"anonymous"


def test_session_from_before_not_before_is_refused_even_if_redis_restores_it(visitor: Client) -> None:
    """A failover may bring a deleted record back."""
    record = store.client().get(record_name(token_of(visitor)))
    Account.objects.update(not_before=int(time.time()) + 1)
    testing.sign_out(visitor)
    testing.store_record(token_of(visitor).sid, record)

    assert visitor.get("/user/").content == b"nobody"


# --- signing out -----------------------------------------------------------------------------


def test_logout_signs_out_everywhere(visitor: Client) -> None:
    visitor.get("/put/?a=1")
    token = token_of(visitor)

    visitor.get("/sign-out/")

    assert names_in_redis() == {store.events_key(conf.dsn().namespace).encode()}
    assert visitor.get("/user/").content == b"nobody"
    assert [event[b"sid"] for event in events("signed_out")] == [token.sid.encode()]


def test_flush_deletes_the_data_and_signs_no_user_out(visitor: Client) -> None:
    visitor.get("/put/?a=1")

    visitor.get("/flush/")

    assert has_identity(token_of(visitor))
    assert visitor.get("/user/").content == b"anna"
    assert visitor.get("/show/").json() == {}
    assert events("signed_out") == []


def test_session_after_logout_is_a_new_anonymous_one(visitor: Client) -> None:
    visitor.get("/put/?a=1")
    visitor.get("/sign-out/")

    visitor.get("/put/?b=2")

    assert visitor.get("/show/").json() == {"b": "2"}
    assert "__Host-session" in visitor.cookies
