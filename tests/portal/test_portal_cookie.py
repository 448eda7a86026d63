"""The portal's own cookie: nothing at the portal opens with the SSO cookie alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.http.cookie import SimpleCookie
from django.test import Client

from portal.sessions.models import Session
from sso_common import store
from sso_common.tokens import parse_token
from tests.servers import ValkeyServer

from .people import browser, identity_of, is_live, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)

SSO, PORTAL = "__Secure-sso", "__Host-portal"


@pytest.fixture
def anna() -> Any:
    return person()


@pytest.fixture
def client(anna: Any) -> Client:
    client = browser()
    sign_in(client)
    return client


def with_cookies(source: Client, *names: str) -> Client:
    """Another browser, with some of the cookies."""
    other = browser()
    for name in names:
        other.cookies[name] = source.cookies[name].value
    return other


def follow(client: Client, path: str, **data: str) -> Any:
    """Follow redirects within the portal."""
    return client.get(path, data, follow=True)


def forget_portal_cookie(client: Client) -> None:
    """Make a session one that was issued before there was a portal cookie."""
    Session.objects.filter(sid=token_of(client).sid).update(portal_bind="")
    del client.cookies[PORTAL]


# --- the cookie ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("remember", "max_age"), [(False, ""), (True, 90 * 86400)])
def test_sign_in_sets_a_host_only_cookie(anna: Any, remember: bool, max_age: Any) -> None:
    response = sign_in(browser(), remember=remember)

    cookie = response.cookies[PORTAL]
    assert (cookie["domain"], cookie["path"], cookie["samesite"]) == ("", "/", "Lax")
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["max-age"] == max_age
    assert parse_token(cookie.value).sid == parse_token(response.cookies[SSO].value).sid


def test_neither_cookie_can_be_derived_from_what_is_stored(client: Client, valkey: ValkeyServer) -> None:
    secret = parse_token(client.cookies[PORTAL].value).secret

    row = Session.objects.get()
    record = str(valkey.admin.get(f"sso:{{{row.sid}}}:identity"))

    assert secret not in str(row.__dict__)
    assert secret not in record
    assert row.portal_bind not in record
    assert secret != token_of(client).secret


# --- attacks with the SSO cookie alone -----------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/account/", "/accounts/email/", "/accounts/password/change/", "/admin/"]
)
@pytest.mark.parametrize("is_superuser", [False, True])
def test_attack_replayed_sso_cookie_opens_no_page(path: str, is_superuser: bool) -> None:
    person("eve", is_staff=is_superuser, is_superuser=is_superuser)
    victim = browser()
    sign_in(victim, "eve")

    answer = follow(with_cookies(victim, SSO), path)

    assert not answer.wsgi_request.user.is_authenticated
    assert "eve" not in answer.text.lower().replace("never", "")
    assert PORTAL not in answer.cookies


def test_attack_replayed_sso_cookie_changes_nothing(client: Client) -> None:
    thief = with_cookies(client, SSO)

    thief.post("/account/", {"first_name": "Mallory", "last_name": "M"})
    thief.post("/accounts/email/", {"action_add": "", "email": "mallory@example.com"})
    thief.post("/account/sessions/end-all/")
    thief.post("/account/sessions/end/", {"sid": token_of(client).sid})

    user = get_user_model().objects.get()
    assert (user.first_name, user.email) == ("", "anna@example.com")
    assert is_signed_in(client)
    assert not mail.outbox


def test_attack_reauthentication_of_the_victim_does_not_help_a_replayed_sso_cookie(client: Client) -> None:
    client.post("/accounts/reauthenticate/", {"password": "correct-horse-battery"})
    thief = with_cookies(client, SSO)

    thief.post("/accounts/email/", {"action_add": "", "email": "mallory@example.com"})

    assert not mail.outbox
    assert not get_user_model().objects.get().emailaddress_set.filter(email="mallory@example.com").exists()


def test_attack_hop_with_a_replayed_sso_cookie_leads_to_the_sign_in_page(client: Client) -> None:
    answer = follow(with_cookies(client, SSO), "/sso/v1/enter")

    assert answer.wsgi_request.path == "/accounts/login/"
    assert SSO not in answer.cookies


def test_attack_portal_cookie_of_the_attacker_does_not_open_the_victims_session(client: Client) -> None:
    person("mallory")
    mallory = browser()
    sign_in(mallory, "mallory")
    mallory.cookies[SSO] = client.cookies[SSO].value

    assert not is_signed_in(mallory)


def test_attack_planted_sso_cookie_does_not_sign_the_victim_in_as_the_attacker(client: Client) -> None:
    person("mallory")
    mallory = browser()
    sign_in(mallory, "mallory")
    client.cookies[SSO] = mallory.cookies[SSO].value

    assert not is_signed_in(client)
    answer = follow(client, "/sso/v1/enter")
    assert answer.wsgi_request.user.username == "anna"


def test_attack_restored_record_of_an_ended_session_opens_nothing(
    client: Client, valkey: ValkeyServer
) -> None:
    both = with_cookies(client, SSO, PORTAL)
    key = f"sso:{{{token_of(client).sid}}}:identity"
    record = valkey.admin.dump(key)
    client.post("/accounts/logout/")
    valkey.admin.restore(key, 0, record)

    assert not is_signed_in(both)
    assert follow(both, "/account/").wsgi_request.path == "/accounts/login/"


@pytest.mark.parametrize("value", ["", "x", "A" * 22 + "." + "A" * 43, "A" * 5000])
def test_attack_forged_portal_cookie_opens_nothing(client: Client, value: str) -> None:
    client.cookies[PORTAL] = value

    assert not is_signed_in(client)


def test_portal_cookie_is_hidden_from_views(client: Client) -> None:
    assert PORTAL not in client.get("/").wsgi_request.COOKIES


# --- restoring the SSO cookie --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "x", "A" * 22 + "." + "A" * 43])
@pytest.mark.parametrize("remember", [False, True])
def test_the_hop_restores_a_lost_sso_cookie(anna: Any, value: str | None, remember: bool) -> None:
    client = browser()
    sign_in(client, remember=remember)
    lost = client.cookies.pop(SSO)
    if value is not None:
        client.cookies[SSO] = value

    first = client.get("/sso/v1/enter", {"next": "/account/"})
    restored = SimpleCookie(first.cookies.output(header=""))[SSO]
    last = client.get(first["Location"])

    assert restored.value == lost.value
    assert bool(restored["max-age"]) == remember
    assert restored["domain"] == "sso.localhost"
    assert last["Location"] == "/account/"
    assert is_signed_in(client)


def test_portal_pages_restore_a_lost_sso_cookie(client: Client) -> None:
    del client.cookies[SSO]

    answer = follow(client, "/account/")

    assert answer.wsgi_request.path == "/account/"
    assert answer.status_code == 200


def test_concurrent_hops_restore_the_same_cookie(client: Client) -> None:
    tabs = [with_cookies(client, PORTAL) for _ in range(2)]

    values = {tab.get("/sso/v1/enter").cookies[SSO].value for tab in tabs}

    assert values == {client.cookies[SSO].value}


def test_browser_that_refuses_the_cookie_gets_the_sign_in_page(client: Client) -> None:
    address = "/account/"
    for _ in range(9):
        client.cookies.pop(SSO, None)
        answer = client.get(address)
        if answer.status_code == 200:
            break
        address = answer["Location"]

    assert answer.wsgi_request.path == "/accounts/login/"


def sign_out_here(client: Client, user: Any) -> None:
    client.post("/accounts/logout/")


def sign_out_at_a_site(client: Client, user: Any) -> None:
    store.run(store.end_session(token_of(client).sid, user.pk))


def deactivate(client: Client, user: Any) -> None:
    user.is_active = False
    user.save()


def expire(client: Client, user: Any) -> None:
    Session.objects.update(expires="2020-01-01T00:00Z")


@pytest.mark.parametrize("end", [sign_out_here, sign_out_at_a_site, deactivate, expire])
def test_nothing_is_restored_after_the_session_ended(client: Client, anna: Any, end: Any) -> None:
    with_portal_cookie = with_cookies(client, PORTAL)
    end(client, anna)

    answer = follow(with_portal_cookie, "/sso/v1/enter")

    assert answer.wsgi_request.path == "/accounts/login/"
    assert SSO not in with_portal_cookie.cookies


def test_late_signed_out_page_costs_no_sign_in(client: Client, anna: Any) -> None:
    """Its deletion of the SSO cookie reaches a browser that has signed in again."""
    slow = with_cookies(client, SSO, PORTAL)
    sign_out_at_a_site(client, anna)
    sign_in(client)

    late = slow.get("/sso/v1/signed-out")
    client.cookies.update(late.cookies)

    assert client.cookies[SSO].value == ""
    assert follow(client, "/account/").wsgi_request.path == "/account/"
    assert is_signed_in(client)


def test_new_sign_in_ends_the_session_of_the_portal_cookie(client: Client) -> None:
    former = token_of(client)
    Session.objects.update(portal_bind="")  # nothing can be restored, so there is a form
    client.cookies[SSO] = ""

    sign_in(client)

    assert is_live(token_of(client).sid)
    assert identity_of(token_of(client)).user.username == "anna"
    assert is_live(former.sid)  # the browser could not prove that it was its own


def test_new_sign_in_ends_the_session_whose_sso_cookie_was_lost(client: Client) -> None:
    former = token_of(client)
    client.cookies[SSO] = ""

    client.get("/accounts/login/", {"checked": "1"})
    sign_in(client)

    assert not is_live(former.sid)
    assert Session.objects.get(sid=former.sid).ended_reason == "replaced"


# --- sessions from before the cookie -------------------------------------------------------------------


def test_session_from_before_the_cookie_needs_one_hop(client: Client) -> None:
    forget_portal_cookie(client)

    answer = follow(client, "/account/")

    assert answer.wsgi_request.path == "/account/"
    assert client.cookies[PORTAL].value
    assert is_signed_in(client)


def test_session_from_before_the_cookie_gets_one_only_once(client: Client) -> None:
    forget_portal_cookie(client)
    other = with_cookies(client, SSO)
    follow(client, "/account/")

    assert follow(other, "/account/").wsgi_request.path == "/accounts/login/"


def test_staff_from_before_the_cookie_sign_in_again() -> None:
    person("eve", is_staff=True)
    client = browser()
    sign_in(client, "eve")
    forget_portal_cookie(client)

    assert follow(client, "/admin/").wsgi_request.path == "/accounts/login/"


def test_session_from_before_the_cookie_must_authenticate_again_for_a_change(client: Client) -> None:
    forget_portal_cookie(client)
    follow(client, "/account/")

    answer = client.post("/accounts/email/", {"action_add": "", "email": "mallory@example.com"})

    assert urlsplit(answer["Location"]).path == "/accounts/reauthenticate/"
    assert not mail.outbox


# --- the signed-out page -------------------------------------------------------------------------------


def test_signed_out_page_says_so_where_the_sites_are_still_open(client: Client) -> None:
    visitor = with_cookies(client, SSO)

    page = visitor.get("/sso/v1/signed-out")
    assert "still signed in" in page.text
    assert "anna" not in page.text.lower()
    visitor.post("/sso/logout/")

    assert not is_live(token_of(client).sid)


def test_a_page_needs_two_queries(client: Client, django_assert_num_queries: Any) -> None:
    """The session's row, and the user."""
    with django_assert_num_queries(2):
        client.get("/sso/v1/enter", {"next": "/account/"})
