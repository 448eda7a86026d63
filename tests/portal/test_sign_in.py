"""Sign-in and sign-out at the portal, as a browser sees them."""

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
from portal.sessions.models import Session
from sso_common import store
from sso_common.csrf import is_bound
from tests.servers import ValkeyServer

from .people import HOST, PASSWORD, browser, identity_of, is_live, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)

SSO = "__Secure-sso"


def cookies_set(response: Any) -> SimpleCookie:
    return response.cookies


# --- the cookie -------------------------------------------------------------------------------------


def test_sign_in_sets_only_the_sso_cookie_for_the_parent_domain() -> None:
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


def test_attack_csrf_token_from_before_the_sign_in_is_refused() -> None:
    person()
    client = browser(enforce_csrf_checks=True)
    known = csrf_token(client.get("/accounts/login/"))

    sign_in(client, csrfmiddlewaretoken=known)

    assert is_signed_in(client)
    names = {"first_name": "A", "last_name": "B"}
    assert client.post("/account/", {**names, "csrfmiddlewaretoken": known}).status_code == 403
    form = csrf_token(client.get("/account/"))
    assert client.post("/account/", {**names, "csrfmiddlewaretoken": form}).status_code == 302


def test_csrf_cookie_of_the_sign_in_belongs_to_the_new_session() -> None:
    person()
    client = browser()
    client.get("/accounts/login/")

    sign_in(client)

    assert is_bound(client.cookies["__Host-csrf"].value, token_of(client))


def csrf_token(page: Any) -> str:
    """The CSRF token of a form."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


def test_remember_me_sets_a_lifetime_on_the_cookie() -> None:
    person()

    cookie = cookies_set(sign_in(browser(), remember=True))[SSO]

    assert cookie["max-age"] == 90 * 86400


@pytest.mark.parametrize("login", ["anna", "ANNA", "anna@example.com", "Anna@Example.COM"])
def test_users_sign_in_by_username_or_email_in_any_case(login: str) -> None:
    person()
    client = browser()

    sign_in(client, login)

    assert is_signed_in(client)


@pytest.mark.parametrize("remember", [False, True])
def test_only_sign_in_and_sign_out_touch_the_sso_cookie(remember: bool) -> None:
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


def test_wrong_password_does_not_sign_in() -> None:
    person()
    client = browser()

    response = sign_in(client, password="wrong-password")

    assert response.status_code == 200
    assert SSO not in cookies_set(response)
    assert not is_signed_in(client)
    assert not Session.objects.exists()


def test_inactive_user_cannot_sign_in() -> None:
    person(is_active=False)

    response = sign_in(browser())

    assert response["Location"] == "/accounts/inactive/"
    assert SSO not in cookies_set(response)


def test_sign_in_returns_to_the_site_that_it_came_from() -> None:
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


# --- cookies planted by an attacker ------------------------------------------------------------------


def test_attack_planted_anonymous_session_is_not_used_after_sign_in() -> None:
    person()
    client = browser()
    key = "planted-key-planted-key"
    assert store.run(store.save_anonymous(key, store.Changes(put={b"x": b"1"}), 100, create=True))
    client.cookies["__Host-session"] = key

    response = sign_in(client)

    assert token_of(client).sid != key
    assert not store.run(store.anonymous_exists(key))
    assert cookies_set(response)["__Host-session"].value == ""


def test_attack_planted_sso_cookie_is_replaced_at_sign_in() -> None:
    person()
    person("mallory")
    mallory, client = browser(), browser()
    sign_in(mallory, "mallory")
    client.cookies[SSO] = mallory.cookies[SSO].value

    sign_in(client)

    assert identity_of(token_of(client)).user.username == "anna"
    assert token_of(client).sid != token_of(mallory).sid


def test_second_sign_in_in_a_browser_ends_the_first_session(rf: Any) -> None:
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

        login(request, ben, backend="portal.accounts.backends.PasswordBackend")
        return HttpResponse("in")

    request = rf.get("/", headers={"host": HOST, "cookie": f"{SSO}={old.value}"})
    response = PortalSessionMiddleware(AuthenticationMiddleware(view))(request)

    assert response.cookies[SSO].value.partition(".")[0] != old.sid
    assert not is_live(old.sid)
    assert Session.objects.get(sid=old.sid).ended_reason == "replaced"


# --- signing out --------------------------------------------------------------------------------------


def test_sign_out_ends_the_session_everywhere_and_deletes_the_cookie(valkey: ValkeyServer) -> None:
    person()
    client = browser()
    sign_in(client)
    stolen = browser()
    for name in (SSO, "__Host-portal"):
        stolen.cookies[name] = client.cookies[name].value
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


def test_get_request_does_not_sign_out() -> None:
    person()
    client = browser()
    sign_in(client)

    assert "Sign out" in client.get("/accounts/logout/").text
    assert is_signed_in(client)


@pytest.mark.parametrize("method", ["get", "head", "options"])
@pytest.mark.parametrize(
    "path",
    [
        "/accounts/logout/",
        "/admin/logout/",
        "/sso/logout/",
        "/account/sessions/end-all/",
        "/account/sessions/end/",
    ],
)
def test_attack_link_or_image_signs_nobody_out(path: str, method: str) -> None:
    person(is_staff=True)
    client = browser()
    sign_in(client)

    getattr(client, method)(path, {"sid": token_of(client).sid})

    assert is_signed_in(client)
    assert is_live(token_of(client).sid)


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/logout/",
        "/admin/logout/",
        "/sso/logout/",
        "/account/sessions/end-all/",
        "/account/sessions/end/",
    ],
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


def test_attack_link_to_the_signed_out_page_signs_no_user_out() -> None:
    person()
    client = browser()
    sign_in(client)

    response = client.get("/sso/v1/signed-out")

    assert "still signed in" in response.text
    assert SSO not in cookies_set(response)
    assert is_signed_in(client)


def test_signed_out_page_deletes_the_cookie_of_a_session_that_ended_at_a_site() -> None:
    user = person()
    client = browser()
    sign_in(client)
    store.run(store.end_session(token_of(client).sid, user.pk))

    response = client.get("/sso/v1/signed-out")

    assert "You're signed out" in response.text
    assert cookies_set(response)[SSO]["max-age"] == 0


@pytest.mark.parametrize("value", ["", "x", "A" * 22 + "." + "A" * 43, "A" * 5000])
def test_attack_forged_cookie_opens_nothing(value: str) -> None:
    client = browser()
    client.cookies[SSO] = value

    assert client.get("/").status_code == 200
    assert not is_signed_in(client)


def test_outage_of_redis_is_a_503_that_touches_no_cookie(valkey: ValkeyServer) -> None:
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


def test_attack_exhausting_the_event_stream_does_not_prevent_sign_in(
    valkey: ValkeyServer,
) -> None:
    person()
    valkey.admin.xadd("sso:events", {"type": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")

    client = browser()
    sign_in(client)

    assert is_signed_in(client)


# --- passwords ----------------------------------------------------------------------------------------


def test_changed_password_ends_all_sessions_but_the_current_one() -> None:
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


def test_password_set_by_administrator_ends_the_sessions_of_a_thief() -> None:
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


def test_rehashing_the_password_at_sign_in_ends_no_session(settings: Any) -> None:
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


def test_password_reset_ends_all_sessions_and_its_link_works_once() -> None:
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

    assert "Your password has been changed" in done.text
    assert not is_signed_in(there)
    assert sign_in(browser(), password="another-horse-battery").status_code == 302
    assert "This link has expired" in browser().get(path, follow=True).text


def test_reset_for_an_unknown_address_answers_like_for_a_known_one() -> None:
    person()

    answers = [
        browser().post("/accounts/password/reset/", {"email": address})
        for address in ("anna@example.com", "nobody@example.com")
    ]

    assert len({(answer.status_code, answer["Location"]) for answer in answers}) == 1


def test_attack_unlocked_screen_is_not_enough_to_take_over_an_account() -> None:
    person()
    client = browser()
    with time_machine.travel(time.time() - 3600):
        sign_in(client)

    response = client.post("/accounts/email/", {"email": "anneke@example.com", "action_add": ""})
    assert response["Location"].startswith("/accounts/reauthenticate/")
    client.post(response["Location"], {"password": "wrong-password"})
    assert not mail.outbox
    client.post(response["Location"], {"password": PASSWORD})  # allauth then continues with the change

    assert [address for message in mail.outbox for address in message.to] == ["anneke@example.com"]


def test_emails_name_the_portal_and_contain_no_placeholders() -> None:
    person()
    browser().post("/accounts/password/reset/", {"email": "anna@example.com"})

    message = mail.outbox[-1]
    assert message.subject == "Reset your password"
    assert "http://portal.sso.localhost/accounts/password/reset/key/" in message.body
    assert not re.search(r"{{|{%|&amp;|\n\n\n", message.body)


@pytest.mark.parametrize("host", [f"{HOST}:4444", "127.0.0.1:4444"])
def test_attack_host_header_does_not_choose_where_an_emailed_link_leads(host: str) -> None:
    person()

    browser().post("/accounts/password/reset/", {"email": "anna@example.com"}, headers={"host": host})

    link = re.search(r"http\S+/key/\S+", mail.outbox[-1].body)
    assert link is not None
    assert urlsplit(link[0]).netloc == HOST


def test_failed_sign_ins_are_rate_limited_across_processes(valkey: ValkeyServer) -> None:
    person()

    texts = [sign_in(browser(), password=f"wrong-{number}").text for number in range(7)]

    assert "Too many failed login attempts" in texts[-1]
    assert "Too many failed login attempts" in sign_in(browser()).text
    assert [key for key in valkey.admin.keys("sso:portal-cache:*") if "login_failed" in key]


# --- signing up ---------------------------------------------------------------------------------------

SIGN_UP = {"email": "new@example.com", "username": "new", "password1": PASSWORD, "password2": PASSWORD}


def test_sign_up_is_closed_by_default() -> None:
    client = browser()

    assert "by invitation" in client.post("/accounts/signup/", SIGN_UP).text
    assert "/accounts/signup/" not in client.get("/accounts/login/").text


@override_settings(SSO_OPEN_SIGNUP=True, ACCOUNT_EMAIL_VERIFICATION="mandatory")
def test_new_user_confirms_the_address_before_signing_in() -> None:
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


# --- audit log ----------------------------------------------------------------------------------------


def test_sign_ins_and_sign_outs_are_recorded_without_tokens() -> None:
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


def test_shipped_settings_hash_with_argon2() -> None:
    from portal import settings as shipped

    assert shipped.PASSWORD_HASHERS[0].endswith("Argon2PasswordHasher")
