"""The Django admin behind single sign-on: a role opens it; the local login form is for emergencies."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from sso_common import testing
from sso_common.admin import SSOAdminSite
from tests.sso_common.tools import has_identity, token_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

LOCAL_FORM = "/admin/login/?local&next=/admin/"


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")


@pytest.fixture
def staff(client: Client) -> Client:
    testing.sign_in(client, "anna", roles=["staff"])
    return client


def test_admin_site_is_that_of_sso_common() -> None:
    assert isinstance(admin.site, SSOAdminSite)


def test_anonymous_visitor_is_redirected_to_the_login_view_and_back(client: Client) -> None:
    response = client.get("/admin/auth/user/?q=1", follow=False)
    login = client.get(response["Location"])

    assert response.status_code == 302
    assert login["Location"] == "/sso/login/?next=%2Fadmin%2Fauth%2Fuser%2F%3Fq%3D1"


def test_staff_role_opens_the_admin(staff: Client) -> None:
    response = staff.get("/admin/")

    assert response.status_code == 200
    assert User.objects.get().is_staff


@pytest.mark.parametrize("path", ["/admin/", "/admin/auth/user/", "/admin/login/", "/admin/logout/"])
def test_user_without_the_staff_role_gets_403_and_no_redirect(client: Client, path: str) -> None:
    testing.sign_in(client, "anna", roles=["editor"])

    response = client.get(path)

    assert response.status_code == 403
    assert "You don't have access" in response.text


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/login/?local"])
def test_user_without_access_to_the_site_cannot_open_its_admin(client: Client, path: str) -> None:
    testing.sign_in(client, "mallory", sites={"site_b": ["staff"]})

    response = client.get(path, follow=True)

    assert response.status_code in {200, 403}
    assert "Site administration" not in response.text
    assert not User.objects.exists()


def test_staff_role_at_another_site_does_not_open_the_admin(client: Client) -> None:
    testing.sign_in(client, "mallory", sites={"site_a": [], "site_b": ["staff"]})

    assert client.get("/admin/").status_code == 403


def test_removed_role_closes_the_admin_at_the_next_request(staff: Client) -> None:
    staff.get("/admin/")
    token = token_of(staff)
    demoted = testing.make_identity(token, "anna", version=2)
    testing.store_record(token.sid, testing.sign_record(demoted))

    assert staff.get("/admin/").status_code == 403


def test_local_login_form_opens_the_admin(client: Client, operator: User) -> None:
    form = client.get(LOCAL_FORM)
    assert form.status_code == 200
    assert 'name="password"' in form.text

    response = client.post(
        LOCAL_FORM, {"username": "operator", "password": "of-the-tests", "next": "/admin/"}
    )

    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_local_login_form_refuses_a_wrong_password(client: Client, operator: User) -> None:
    response = client.post(LOCAL_FORM, {"username": "operator", "password": "wrong"})

    assert response.status_code == 200
    assert client.get("/admin/").status_code == 302


def test_local_login_form_refuses_users_of_the_portal(client: Client) -> None:
    testing.sign_in(client, "anna", roles=["staff"])
    client.get("/admin/")
    attacker = Client()

    for password in ("", "!"):
        response = attacker.post(LOCAL_FORM, {"username": "anna", "password": password})
        assert response.status_code == 200
    assert attacker.get("/admin/").status_code == 302


def test_attack_forged_local_login_is_refused(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)

    response = client.post(LOCAL_FORM, {"username": "operator", "password": "of-the-tests"})

    assert response.status_code == 403
    assert client.get("/admin/").status_code == 302


def test_login_page_redirects_staff_who_are_signed_in(staff: Client) -> None:
    assert staff.get("/admin/login/?next=/admin/auth/")["Location"] == "/admin/auth/"
    assert staff.get("/admin/login/")["Location"] == "/admin/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_attack_open_redirect_through_the_admin_login(staff: Client, target: str) -> None:
    assert staff.get("/admin/login/", {"next": target})["Location"] == "/admin/"


def test_attack_open_redirect_from_https_to_http_through_the_admin_login(staff: Client) -> None:
    response = staff.get("/admin/login/", {"next": "http://testserver/admin/"}, secure=True)

    assert response["Location"] == "/admin/"


def test_admin_logout_signs_out_everywhere(staff: Client) -> None:
    staff.get("/admin/")

    staff.post("/admin/logout/")

    assert not has_identity(token_of(staff))
    assert staff.get("/admin/").status_code == 302


def test_admin_is_503_without_redis(staff: Client, valkey) -> None:
    valkey.kill()

    for path in ("/admin/", "/admin/login/", "/admin/logout/"):
        response = staff.get(path)
        assert response.status_code == 503
        assert not response.cookies
