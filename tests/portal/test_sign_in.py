"""Signing in and out at the portal, as a browser sees it."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core import mail
from django.http.cookie import SimpleCookie
from django.test import override_settings

from portal.audit.models import AuditEvent
from portal.registry.models import Site
from portal.sessions import services
from portal.sessions.models import Session
from sso_common import store
from tests.servers import ValkeyServer

from .people import HOST, PASSWORD, browser, identity_of, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)

SSO = "__Secure-sso"


def cookies_set(response: Any) -> SimpleCookie:
    return response.cookies


# --- the cookie -------------------------------------------------------------------------------------


def test_signing_in_sets_the_sso_cookie_for_the_parent_domain_and_nothing_else_there() -> None:
    person()

    response = sign_in(browser())

    cookie = cookies_set(response)[SSO]
    assert (response.status_code, response["Location"]) == (302, "/")
    assert cookie["domain"] == "sso.localhost"
    assert (cookie["path"], cookie["samesite"]) == ("/", "Lax")
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["max-age"] == ""
    assert [morsel.key for morsel in cookies_set(response).values() if morsel["domain"]] == [SSO]


def test_remember_me_makes_the_cookie_outlive_the_browser() -> None:
    person()

    cookie = cookies_set(sign_in(browser(), remember=True))[SSO]

    assert cookie["max-age"] == 90 * 86400


@pytest.mark.parametrize("login", ["anna", "ANNA", "anna@example.com", "Anna@Example.COM"])
def test_people_sign_in_by_username_or_address_in_any_case(login: str) -> None:
    person()
    client = browser()

    sign_in(client, login)

    assert is_signed_in(client)


@pytest.mark.parametrize("remember", [False, True])
def test_only_sign_in_and_sign_out_ever_touch_the_sso_cookie(remember: bool) -> None:
    person()
    client = browser()
    pages = [
        "/",
        "/accounts/login/",
        "/account/",
        "/accounts/email/",
        "/nope/",
        "/sso/v1/signed-out",
        "/admin/",
    ]
    assert not any(SSO in cookies_set(client.get(page)) for page in pages)
    sign_in(client, remember=remember)

    assert not any(SSO in cookies_set(client.get(page)) for page in pages)
    assert SSO not in cookies_set(client.post("/account/", {"first_name": "A", "last_name": "B"}))
    assert is_signed_in(client)


def test_a_wrong_password_signs_nobody_in() -> None:
    person()
    client = browser()

    response = sign_in(client, password="wrong-password")

    assert response.status_code == 200
    assert SSO not in cookies_set(response)
    assert not is_signed_in(client)
    assert not Session.objects.exists()


def test_an_inactive_person_cannot_sign_in() -> None:
    person(is_active=False)

    response = sign_in(browser())

    assert response["Location"] == "/accounts/inactive/"
    assert SSO not in cookies_set(response)


def test_a_sign_in_comes_from_the_site_and_goes_back_to_it() -> None:
    Site.objects.create(name="site_a", origin="http://a.sso.localhost:8001", title="Notes")
    person()
    client = browser()
    back = "http://a.sso.localhost:8001/sso/login/?next=/notes/7&returned=1"

    first = client.get("/sso/v1/enter", {"next": back})
    page = client.get(first["Location"])
    assert "Notes" in page.text
    form = re.search(r'name="next" value="([^"]+)"', page.text)
    assert form is not None
    response = sign_in(client, next=form[1].replace("&amp;", "&"))

    assert response["Location"] == back
    assert client.get("/sso/v1/enter", {"next": back})["Location"] == back


# --- nothing of the visitor's earlier cookies is kept ------------------------------------------------


def test_attack_a_planted_anonymous_session_is_not_the_session_after_sign_in() -> None:
    person()
    client = browser()
    key = "planted-key-planted-key"
    assert store.run(store.save_anonymous(key, store.Changes(put={b"x": b"1"}), 100, create=True))
    client.cookies["__Host-session"] = key

    response = sign_in(client)

    assert token_of(client).sid != key
    assert not store.run(store.anonymous_exists(key))
    assert cookies_set(response)["__Host-session"].value == ""


def test_attack_a_planted_sso_cookie_is_replaced_by_a_new_session() -> None:
    person()
    person("mallory")
    mallory, client = browser(), browser()
    sign_in(mallory, "mallory")
    client.cookies[SSO] = mallory.cookies[SSO].value

    sign_in(client)  # the form is for visitors; whoever is signed in goes on
    client.post("/accounts/logout/")
    sign_in(client)

    assert identity_of(token_of(client)).user.username == "anna"
    assert token_of(client).sid != token_of(mallory).sid


def test_a_second_sign_in_in_the_same_browser_ends_the_first(rf: Any) -> None:
    from django.contrib.auth import login

    from portal.sessions.middleware import PortalSessionMiddleware
    from sso_common.middleware import AuthenticationMiddleware

    person()
    ben = person("ben")
    client = browser()
    sign_in(client)
    old = token_of(client)

    def view(request: Any) -> Any:
        from django.http import HttpResponse

        login(request, ben, backend="allauth.account.auth_backends.AuthenticationBackend")
        return HttpResponse("in")

    request = rf.get("/", headers={"host": HOST, "cookie": f"{SSO}={old.value}"})
    response = PortalSessionMiddleware(AuthenticationMiddleware(view))(request)

    assert response.cookies[SSO].value.partition(".")[0] != old.sid
    assert not services.is_live(old.sid)
    assert Session.objects.get(sid=old.sid).ended_reason == "replaced"


# --- signing out --------------------------------------------------------------------------------------


def test_signing_out_ends_the_session_everywhere_and_takes_the_cookie_back(valkey: ValkeyServer) -> None:
    person()
    client = browser()
    sign_in(client)
    token, stolen = token_of(client), browser()
    stolen.cookies[SSO] = token.value
    assert is_signed_in(stolen)

    response = client.post("/accounts/logout/")

    cookie = cookies_set(response)[SSO]
    assert (cookie.value, cookie["max-age"], cookie["domain"], cookie["path"]) == (
        "",
        0,
        "sso.localhost",
        "/",
    )
    assert cookie["secure"]
    assert urlsplit(response["Location"]).path == "/sso/v1/signed-out"
    assert not is_signed_in(stolen)
    row = Session.objects.get()
    assert (row.ended_reason, row.ended_at is not None) == ("signed_out", True)
    assert not valkey.admin.keys("sso:{*") + valkey.admin.keys("sso:user:*")


def test_a_get_signs_nobody_out() -> None:
    person()
    client = browser()
    sign_in(client)

    assert "Sign out" in client.get("/accounts/logout/").text
    assert is_signed_in(client)


@pytest.mark.parametrize(
    "path", ["/accounts/logout/", "/account/sessions/end-all/", "/account/sessions/end/"]
)
def test_attack_csrf_on_sign_out(path: str) -> None:
    person()
    client = browser(enforce_csrf_checks=True)
    page = client.get("/accounts/login/")
    csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert csrf is not None
    sign_in(client, csrfmiddlewaretoken=csrf[1])

    for origin in ("https://evil.example", "http://a.sso.localhost", "null"):
        response = client.post(path, {"sid": token_of(client).sid}, headers={"origin": origin})
        assert response.status_code == 403
    assert is_signed_in(client)


def test_attack_a_link_to_the_signed_out_page_signs_nobody_out() -> None:
    person()
    client = browser()
    sign_in(client)

    response = client.get("/sso/v1/signed-out")

    assert "still signed in" in response.text
    assert SSO not in cookies_set(response)
    assert is_signed_in(client)


def test_the_signed_out_page_takes_back_a_cookie_whose_session_ended_at_a_site() -> None:
    user = person()
    client = browser()
    sign_in(client)
    store.run(store.end_session(token_of(client).sid, user.pk))

    response = client.get("/sso/v1/signed-out")

    assert "You are signed out" in response.text
    assert cookies_set(response)[SSO]["max-age"] == 0


def test_a_late_answer_never_takes_back_the_cookie_of_a_fresh_sign_in() -> None:
    user = person()
    slow, fast = browser(), browser()
    sign_in(slow)
    fast.cookies[SSO] = slow.cookies[SSO].value
    store.run(store.end_session(token_of(slow).sid, user.pk))

    sign_in(fast)  # in another tab, before the first tab's request is answered
    response = slow.get("/sso/v1/signed-out")

    assert SSO not in cookies_set(response)


@pytest.mark.parametrize("value", ["", "x", "A" * 22 + "." + "A" * 43, "A" * 5000])
def test_attack_a_forged_cookie_is_nobody(value: str) -> None:
    client = browser()
    client.cookies[SSO] = value

    assert client.get("/").status_code == 200
    assert not is_signed_in(client)


def test_redis_away_is_a_503_that_touches_no_cookie(valkey: ValkeyServer) -> None:
    person()
    client = browser()
    sign_in(client)
    valkey.kill()

    answers = [client.get("/"), client.get("/account/"), client.post("/accounts/logout/"), sign_in(browser())]

    for response in answers:
        assert response.status_code == 503
        assert response["Retry-After"]
        assert not cookies_set(response)
    assert client.get("/nope/").status_code == 404
    valkey.start()
    assert is_signed_in(client)


def test_attack_a_site_that_exhausts_the_stream_of_events_keeps_nobody_from_signing_in(
    valkey: ValkeyServer,
) -> None:
    person()
    valkey.admin.xadd("sso:events", {"type": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")

    client = browser()
    sign_in(client)

    assert is_signed_in(client)


# --- passwords ----------------------------------------------------------------------------------------


def test_a_changed_password_ends_all_other_sessions_and_keeps_this_one() -> None:
    person()
    here, there = browser(), browser()
    sign_in(here)
    sign_in(there)

    here.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "another-horse-battery", "password2": "another-horse-battery"},
    )

    assert is_signed_in(here)
    assert not is_signed_in(there)
    assert sorted(Session.objects.values_list("ended_reason", flat=True)) == ["", "password"]


def test_a_password_that_an_administrator_sets_ends_the_sessions_of_whoever_stole_the_old_one() -> None:
    anna = person()
    person("root", is_staff=True, is_superuser=True)
    thief, admin = browser(), browser()
    sign_in(thief)
    sign_in(admin, "root")

    admin.post(
        f"/admin/accounts/user/{anna.pk}/password/",
        {
            "usable_password": "true",
            "password1": "another-horse-battery",
            "password2": "another-horse-battery",
        },
    )

    assert sign_in(browser(), password="another-horse-battery").status_code == 302
    assert not is_signed_in(thief)
    assert is_signed_in(admin)


def test_the_same_password_hashed_anew_at_sign_in_ends_no_session(settings: Any) -> None:
    anna = person()
    there = browser()
    sign_in(there)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]

    sign_in(browser())

    anna.refresh_from_db()
    assert anna.password.startswith("scrypt$")
    assert is_signed_in(there)


def test_a_reset_password_ends_all_sessions_and_the_link_works_once() -> None:
    person()
    there, here = browser(), browser()
    sign_in(there)

    here.post("/accounts/password/reset/", {"email": "anna@example.com"})
    link = re.search(r"http://\S+", mail.outbox[-1].body)
    assert link is not None
    path = urlsplit(link[0]).path
    form = here.get(path)["Location"]
    data = {"password1": "another-horse-battery", "password2": "another-horse-battery"}
    done = here.post(form, data, follow=True)

    assert "Your password is changed" in done.text
    assert not is_signed_in(there)
    assert sign_in(browser(), password="another-horse-battery").status_code == 302
    assert "used up" in browser().get(path, follow=True).text


def test_a_reset_for_nobody_answers_like_one_for_somebody() -> None:
    person()

    answers = [
        browser().post("/accounts/password/reset/", {"email": address})
        for address in ("anna@example.com", "nobody@example.com")
    ]

    assert len({(answer.status_code, answer["Location"]) for answer in answers}) == 1


def test_attack_an_unlocked_screen_is_not_enough_to_take_an_account_over() -> None:
    person()
    client = browser()
    with time_machine.travel(time.time() - 3600):
        sign_in(client)

    response = client.post("/accounts/email/", {"email": "anneke@example.com", "action_add": ""})
    assert response["Location"].startswith("/accounts/reauthenticate/")
    client.post(response["Location"], {"password": "wrong-password"})
    assert not mail.outbox
    client.post(response["Location"], {"password": PASSWORD})  # allauth then goes on with the change

    assert [address for message in mail.outbox for address in message.to] == ["anneke@example.com"]


def test_mails_name_the_portal_and_hold_no_placeholders() -> None:
    person()
    browser().post("/accounts/password/reset/", {"email": "anna@example.com"})

    message = mail.outbox[-1]
    assert message.subject == "Set a new password"
    assert "http://portal.sso.localhost/accounts/password/reset/key/" in message.body
    assert not re.search(r"{{|{%|&amp;|\n\n\n", message.body)


@pytest.mark.parametrize("host", [f"{HOST}:4444", "127.0.0.1:4444"])
def test_attack_the_host_header_of_a_strangers_request_chooses_where_the_mailed_link_leads(host: str) -> None:
    person()

    browser().post("/accounts/password/reset/", {"email": "anna@example.com"}, headers={"host": host})

    link = re.search(r"http\S+/key/\S+", mail.outbox[-1].body)
    assert link is not None
    assert urlsplit(link[0]).netloc == HOST


def test_guessing_passwords_is_slowed_down_for_all_processes_together(valkey: ValkeyServer) -> None:
    person()

    texts = [sign_in(browser(), password=f"wrong-{number}").text for number in range(7)]

    assert "Too many failed login attempts" in texts[-1]
    assert "Too many failed login attempts" in sign_in(browser()).text
    assert [key for key in valkey.admin.keys("sso:portal-cache:*") if "login_failed" in key]


# --- signing up ---------------------------------------------------------------------------------------

SIGN_UP = {"email": "new@example.com", "username": "new", "password1": PASSWORD, "password2": PASSWORD}


def test_signing_up_is_closed_unless_the_operator_opens_it() -> None:
    client = browser()

    assert "by invitation" in client.post("/accounts/signup/", SIGN_UP).text
    assert "/accounts/signup/" not in client.get("/accounts/login/").text


@override_settings(SSO_OPEN_SIGNUP=True, ACCOUNT_EMAIL_VERIFICATION="mandatory")
def test_a_stranger_proves_the_address_before_signing_in() -> None:
    client = browser()

    response = client.post("/accounts/signup/", SIGN_UP)
    assert response["Location"] == "/accounts/confirm-email/"
    assert SSO not in cookies_set(response)
    assert SSO not in cookies_set(sign_in(client, "new"))

    link = re.search(r"http://\S+", mail.outbox[0].body)
    assert link is not None
    client.post(urlsplit(link[0]).path)
    sign_in(client, "new")

    assert is_signed_in(client)
    assert identity_of(token_of(client)).user.email_verified


# --- what is written down -----------------------------------------------------------------------------


def test_signing_in_and_out_is_written_down_without_tokens() -> None:
    user = person()
    client = browser()
    sign_in(client, password="wrong-password")
    sign_in(client, "my-password-by-mistake", password="wrong-password")
    sign_in(client)
    token = token_of(client)
    client.post("/accounts/logout/")

    events = list(AuditEvent.objects.order_by("pk"))
    assert [(event.kind, event.sub) for event in events] == [
        ("sign_in_failed", user.pk),
        ("sign_in_failed", None),
        ("signed_in", user.pk),
        ("signed_out", user.pk),
    ]
    assert {event.ip for event in events} == {"127.0.0.1"}
    everything = " ".join(str(vars(event)) for event in events)
    for secret in (token.secret, PASSWORD, "wrong-password", "my-password-by-mistake"):
        assert secret not in everything


def test_the_shipped_settings_hash_with_argon2() -> None:
    from portal import settings as shipped

    assert shipped.PASSWORD_HASHERS[0].endswith("Argon2PasswordHasher")
