"""The portal's pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory, override_settings
from django.urls import reverse

from portal import problems
from portal.audit.models import AuditEvent
from portal.registry import services as registry
from portal.registry.models import Grant, Role, Site
from portal.sessions.devices import device_name
from portal.sessions.models import Session
from sso_common import conf
from sso_common.addresses import person_address, portal_password_address
from tests.servers import ValkeyServer

from .people import HOST, browser, identity_of, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_home_invites_visitors_and_shows_no_sites() -> None:
    Site.objects.create(name="site_a", origin="http://a.sso.localhost", title="Notes")

    page = browser().get("/")

    assert "One sign-in for all of our sites" in page.text
    assert "a.sso.localhost" not in page.text


def test_the_colour_of_a_site_stays_the_same_when_others_come() -> None:
    registry.register("zoo", "https://zoo.sso.localhost", title="Zoo")
    person()
    client = browser()
    sign_in(client)
    before = re.findall(r"tint-\d", client.get("/").text)

    registry.register("art", "https://art.sso.localhost", title="Art")

    assert re.findall(r"tint-\d", client.get("/").text)[1:] == before


def test_home_lists_the_sites_that_a_user_has_access_to() -> None:
    registry.register("open", "https://open.sso.localhost", title="Open")
    registry.register(
        "club", "https://club.sso.localhost", title="Club", access="members", roles={"m": "Member"}
    )
    registry.register(
        "other", "https://other.sso.localhost", title="Other", access="members", roles={"m": "M"}
    )
    registry.register("closed", "https://closed.sso.localhost", title="Closed")
    Site.objects.filter(name="closed").update(is_active=False)
    registry.give_role(person(), "club", "m")
    client = browser()
    sign_in(client)

    text = client.get("/").text

    assert re.findall(r'<h2><a href="([^"]+)">', text) == [
        "https://club.sso.localhost/",
        "https://open.sso.localhost/",
    ]
    assert "Member" in text


def test_home_is_not_cached() -> None:
    assert "no-store" in browser().get("/")["Cache-Control"]


def test_changed_name_is_in_the_identity_record_at_once() -> None:
    person()
    client = browser()
    sign_in(client)

    page = client.post("/account/", {"first_name": "Anneke", "last_name": "de Boer"}, follow=True)

    assert "Your name has been changed" in page.text
    assert identity_of(token_of(client)).user.display_name == "Anneke de Boer"


def test_too_long_name_is_refused_with_an_error() -> None:
    person(first_name="Anna")
    client = browser()
    sign_in(client)

    page = client.post("/account/", {"first_name": "x" * 151, "last_name": ""})

    assert "errorlist" in page.text
    assert ">Anna<" in page.text  # the header still shows the old name
    assert identity_of(token_of(client)).user.first_name == "Anna"


def test_attack_name_is_escaped() -> None:
    person(first_name="<script>alert(1)</script>")
    client = browser()
    sign_in(client)

    for page in ("/", "/account/", "/sso/v1/signed-out"):
        assert "<script>alert" not in client.get(page).text


def test_user_ends_one_of_their_sessions() -> None:
    user = person()
    here, there = browser(), browser()
    sign_in(here)
    sign_in(there)
    assert "Firefox on Linux" in here.get("/account/").text

    here.post("/account/sessions/end/", {"sid": token_of(there).sid})

    assert is_signed_in(here)
    assert not is_signed_in(there)
    assert AuditEvent.objects.filter(kind="session_ended", sub=user.pk).count() == 1


def test_ending_the_current_session_signs_out() -> None:
    person()
    client = browser()
    sign_in(client)

    response = client.post("/account/sessions/end/", {"sid": token_of(client).sid})

    assert response["Location"] == "/sso/v1/signed-out"
    assert response.cookies["__Secure-sso"].value == ""


def test_attack_user_ends_another_users_session() -> None:
    person()
    person("mallory")
    client, mallory = browser(), browser()
    sign_in(client)
    sign_in(mallory, "mallory")

    response = mallory.post("/account/sessions/end/", {"sid": token_of(client).sid})

    assert response.status_code == 404
    assert is_signed_in(client)


@pytest.mark.parametrize("sid", ["", "x", "A" * 21 + "\x00", "\x00" * 22, "é" * 22, "A" * 5000])
def test_attack_invalid_sid_is_a_404_without_a_query(sid: str, django_assert_max_num_queries: Any) -> None:
    person()
    client = browser()
    sign_in(client)

    with django_assert_max_num_queries(2):  # the session of the cookies, and its user
        response = client.post("/account/sessions/end/", {"sid": sid})

    assert response.status_code == 404
    assert is_signed_in(client)


def test_sign_out_everywhere_ends_every_session() -> None:
    person()
    clients = [browser() for _ in range(3)]
    for client in clients:
        sign_in(client)

    clients[0].post("/account/sessions/end-all/")

    assert not any(map(is_signed_in, clients))
    assert Session.objects.filter(ended_at=None).count() == 0


@pytest.mark.parametrize("path", ["/account/", "/accounts/email/", "/accounts/password/change/"])
def test_account_pages_redirect_visitors_to_sign_in(path: str) -> None:
    response = browser().get(path)

    assert response["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/password/reset/key/abc-def/",
        "/accounts/inactive/",
        "/accounts/confirm-email/",
        "/accounts/confirm-email/nonsense/",
        "/sso/v1/signed-out",
    ],
)
def test_pages_for_visitors_have_our_layout(path: str) -> None:
    page = browser().get(path)

    assert page.status_code == 200
    assert 'href="/static/portal/portal.css"' in page.text
    assert page.text.count("<h1>") == 1
    assert re.search(r"<title>[^<]+ · Portal</title>", page.text)


@pytest.mark.parametrize(
    "path", ["/", "/account/", "/accounts/email/", "/accounts/password/change/", "/accounts/logout/"]
)
def test_pages_for_users_have_our_layout(path: str) -> None:
    person()
    client = browser()
    sign_in(client)

    page = client.get(path)

    assert page.status_code == 200
    assert 'href="/static/portal/portal.css"' in page.text
    assert page.text.count("<h1>") == 1


def test_pages_load_only_own_files_and_run_nothing_inline() -> None:
    person()
    client = browser()
    sign_in(client)

    for path in ("/", "/account/", "/accounts/password/change/", "/sso/v1/signed-out"):
        page = client.get(path)
        assert "default-src 'none'" in page["Content-Security-Policy"]
        assert not re.search(r"<style|style=|<script|onclick|src=", page.text)
        assert not re.search(r'<link[^>]+href="(?!/static/)', page.text)


@pytest.mark.parametrize(
    ("view", "status"),
    [
        (problems.bad_request, 400),
        (problems.forbidden, 403),
        (problems.csrf_failure, 403),
        (problems.not_found, 404),
        (problems.server_error, 500),
    ],
)
def test_error_pages_need_neither_session_nor_database(
    view: object, status: int, rf: RequestFactory, valkey: ValkeyServer
) -> None:
    valkey.kill()

    response = view(rf.get("/"))  # type: ignore[operator]

    assert response.status_code == status
    assert response.text.count("<h1>") == 1


def test_shared_styles_are_the_same_file_everywhere() -> None:
    here = Path(settings.BASE_DIR) / "static" / "portal" / "family.css"
    there = Path(settings.BASE_DIR).parent / "site_a" / "static" / "site_a" / "family.css"

    assert here.read_bytes() == there.read_bytes()


# --- administration -----------------------------------------------------------------------------------


def test_admin_redirects_visitors_to_the_portals_sign_in() -> None:
    response = browser().get("/admin/registry/site/", follow=True)

    assert response.redirect_chain[-1][0] == "/accounts/login/?next=/admin/registry/site/"


@pytest.mark.parametrize(
    ("target", "location"),
    [("https://a.sso.localhost/x", "/admin/"), ("//a.sso.localhost", "/admin/"), ("/admin/x/", "/admin/x/")],
)
def test_admins_login_redirects_staff_within_the_portal_only(target: str, location: str) -> None:
    registry.register("site_a", "https://a.sso.localhost")
    person("cleo", is_staff=True)
    client = browser()
    sign_in(client, "cleo")

    assert client.get("/admin/login/", {"next": target})["Location"] == location


def test_admin_answers_403_without_a_loop_for_users_who_are_not_staff() -> None:
    person()
    client = browser()
    sign_in(client)

    response = client.get("/admin/", follow=True)

    assert response.status_code == 403
    assert "You don't have access to this page" in response.text


def test_admin_works_for_staff() -> None:
    person("cleo", is_staff=True, is_superuser=True)
    registry.register("site_a", "https://a.sso.localhost", roles={"editor": "Editor"})
    client = browser()
    sign_in(client, "cleo")
    names = ["site", "role", "grant"]
    pages = [reverse(f"admin:registry_{name}_{kind}") for name in names for kind in ("changelist", "add")]
    pages += [
        reverse("admin:portal_sessions_session_changelist"),
        reverse("admin:portal_audit_auditevent_changelist"),
    ]
    pages += [reverse("admin:registry_site_change", args=[Site.objects.get().pk]), "/admin/"]

    assert {page: client.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    assert client.get("/admin/password_change/")["Location"] == "/accounts/password/change/"
    assert client.post("/admin/logout/")["Location"] == "/sso/v1/signed-out"
    assert not is_signed_in(client)


def test_site_registered_in_the_admin_gets_its_redis_user(valkey: ValkeyServer) -> None:
    person("cleo", is_staff=True, is_superuser=True)
    client = browser()
    sign_in(client, "cleo")
    inline = {"roles-TOTAL_FORMS": "0", "roles-INITIAL_FORMS": "0"}
    form = {
        "name": "site_a",
        "origin": "http://a.sso.localhost:8001/",
        "title": "Notes",
        "access": "everyone",
    }

    bad = client.post(
        "/admin/registry/site/add/", form | inline | {"order": "0", "origin": "http://a.evil.example"}
    )
    good = client.post("/admin/registry/site/add/", form | inline | {"order": "0", "is_active": "on"})

    assert "is not under the parent domain" in bad.text
    assert good.status_code == 302
    assert Site.objects.get().origin == "http://a.sso.localhost:8001"
    assert "sso-site_a" in valkey.admin.acl_users()

    site = Site.objects.get()
    client.post(f"/admin/registry/site/{site.pk}/delete/", {"post": "yes"})
    assert "sso-site_a" not in valkey.admin.acl_users()


def test_staff_end_sessions_in_the_admin() -> None:
    person("cleo", is_staff=True, is_superuser=True)
    person()
    client, victim = browser(), browser()
    sign_in(client, "cleo")
    sign_in(victim)

    client.post(
        reverse("admin:portal_sessions_session_changelist"),
        {"action": "end", "_selected_action": [token_of(victim).sid]},
    )

    assert is_signed_in(client)
    assert not is_signed_in(victim)


def test_role_given_in_the_admin_is_recorded_with_its_actor() -> None:
    cleo = person("cleo", is_staff=True, is_superuser=True)
    anna = person()
    registry.register("site_a", "https://a.sso.localhost", roles={"editor": "Editor"})
    client = browser()
    sign_in(client, "cleo")

    client.post("/admin/registry/grant/add/", {"user": str(anna.pk), "role": Role.objects.get().pk})
    client.post(f"/admin/registry/grant/{Grant.objects.get().pk}/delete/", {"post": "yes"})

    events = AuditEvent.objects.filter(kind__startswith="role_").order_by("pk")
    assert [(e.kind, e.sub, e.actor, e.site, e.detail) for e in events] == [
        ("role_given", anna.pk, cleo.pk, "site_a", "editor"),
        ("role_taken", anna.pk, cleo.pk, "site_a", "editor"),
    ]


@override_settings(ROOT_URLCONF="portal.urls")
def test_unknown_address_shows_our_404_page() -> None:
    assert "Page not found" in browser().get("/nope/").text


def test_admin_of_a_site_leads_to_the_page_that_changes_the_password() -> None:
    assert portal_password_address().endswith(f"://{HOST}{reverse('account_change_password')}")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("", "Unknown browser"),
    ],
)
def test_device_name_has_browser_and_system(agent: str, name: str) -> None:
    assert device_name(agent) == name


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/account/",
        "/accounts/email/",
        "/accounts/password/change/",
        "/accounts/reauthenticate/",
        "/accounts/login/",
        "/accounts/logout/",
        "/admin/",
        "/admin/accounts/user/",
        "/sso/v1/enter",
        "/sso/v1/signed-out",
    ],
)
def test_attack_page_about_the_user_is_in_no_cache(path: str) -> None:
    person(is_staff=True, is_superuser=True)
    client = browser()
    sign_in(client)

    assert "no-store" in client.get(path)["Cache-Control"]


def test_admins_of_sites_link_to_the_page_of_a_person() -> None:
    anna = person()

    address = person_address(anna.pk)

    assert address == conf.dsn().portal_url + reverse("admin:accounts_user_change", args=[anna.pk])
