"""In the admin of Notes, what the portal decides about a user is read-only, whatever a browser sends."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.test import Client

from sso_common import conf, testing
from sso_common.models import Account
from sso_common.tokens import mint_token
from sso_common.user_admin import SSOUserAdminMixin
from sso_common.users import resolve_user


@pytest.fixture
def root(client: Client) -> Client:
    """A browser in which a local superuser has logged in."""
    client.force_login(User.objects.create_superuser("root", "root@example.com"))
    return client


@pytest.fixture
def anna() -> User:
    """A user who signs in at the portal, with the role of an editor."""
    return resolve_user(testing.make_identity(mint_token(), "anna", roles=["editor"]))


def page_of(user: User) -> str:
    return f"/admin/auth/user/{user.pk}/change/"


def values(user: User) -> dict[str, Any]:
    return User.objects.filter(pk=user.pk).values().get()


FORGED = {
    "username": "mallory",
    "first_name": "Mallory",
    "last_name": "Forged",
    "email": "mallory@example.com",
    "is_staff": "on",
    "password": "forged",
    "password1": "forged-Password-1",
    "password2": "forged-Password-1",
    "date_joined_0": "2020-01-01",
    "date_joined_1": "00:00",
}


def test_page_of_a_linked_user_shows_values_and_a_link_to_the_portal(root: Client, anna: User) -> None:
    text = root.get(page_of(anna)).text

    for name in ("username", "first_name", "email", "is_active", "is_staff", "password"):
        assert f'name="{name}"' not in text
    assert 'name="is_superuser"' in text
    assert f'href="{conf.dsn().portal_url}/admin/accounts/user/{anna.sso_account.sub}/change/"' in text
    assert "anna@example.com" in text
    assert "../password/" not in text


def test_attack_forged_form_changes_nothing_that_the_portal_decides(root: Client, anna: User) -> None:
    before = values(anna)

    response = root.post(page_of(anna), FORGED)

    assert response.status_code == 302
    assert values(anna) == {**before, "date_joined": values(anna)["date_joined"]}
    assert set(anna.groups.values_list("name", flat=True)) == {"Editors"}


def test_local_rights_stay_editable(root: Client, anna: User) -> None:
    choir = Group.objects.create(name="Choir")

    root.post(page_of(anna), {**FORGED, "is_superuser": "on", "groups": [choir.pk]})

    anna.refresh_from_db()
    assert anna.is_superuser
    assert set(anna.groups.values_list("name", flat=True)) == {"Choir", "Editors"}
    root.post(page_of(anna), FORGED)
    assert set(anna.groups.values_list("name", flat=True)) == {"Editors"}


def test_attack_group_that_only_a_role_gives(root: Client, anna: User) -> None:
    staff, _ = Group.objects.get_or_create(name="Staff")

    response = root.post(page_of(anna), {**FORGED, "groups": [staff.pk]})

    assert "Select a valid choice" in response.text
    assert set(anna.groups.values_list("name", flat=True)) == {"Editors"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_attack_password_form_of_a_linked_user(root: Client, anna: User, method: str) -> None:
    data = {"password1": "forged-Password-1", "password2": "forged-Password-1", "usable_password": "true"}

    response = getattr(root, method)(f"/admin/auth/user/{anna.pk}/password/", data)

    assert response.status_code == 403
    anna.refresh_from_db()
    assert not anna.has_usable_password()


def test_attack_forged_row_in_an_editable_list(
    root: Client, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = User.objects.create_user("local")
    model_admin = admin.site.get_model_admin(User)
    monkeypatch.setattr(model_admin, "list_editable", ["first_name", "is_staff"], raising=False)
    form = {"form-TOTAL_FORMS": "3", "form-INITIAL_FORMS": "3", "_save": "Save"}
    for number, user in enumerate(User.objects.order_by("username")):
        form |= {f"form-{number}-id": str(user.pk), f"form-{number}-first_name": "Forged"}
        form |= {f"form-{number}-is_staff": "on"}

    response = root.post("/admin/auth/user/", form)

    assert response.status_code == 302
    anna.refresh_from_db()
    own.refresh_from_db()
    assert (anna.first_name, anna.is_staff) == ("", False)
    assert (own.first_name, own.is_staff) == ("Forged", True)


def test_local_and_new_users_stay_editable(root: Client) -> None:
    own = User.objects.create_user("local")

    assert 'name="username"' in root.get(page_of(own)).text
    root.post(page_of(own), {**FORGED, "username": "renamed"})
    response = root.post(
        "/admin/auth/user/add/",
        {**FORGED, "username": "added", "usable_password": "true"},
    )

    own.refresh_from_db()
    assert (own.username, own.first_name) == ("renamed", "Mallory")
    assert response.status_code == 302
    assert User.objects.filter(username="added").exists()
    assert root.get(f"/admin/auth/user/{own.pk}/password/").status_code == 200


@pytest.mark.parametrize("is_bulk", [True, False])
def test_deletion_says_that_the_person_comes_back(root: Client, anna: User, is_bulk: bool) -> None:
    path = "/admin/auth/user/" if is_bulk else f"/admin/auth/user/{anna.pk}/delete/"
    data = {"action": "delete_selected", "_selected_action": [anna.pk]} if is_bulk else {}

    response = root.post(path, {**data, "post": "yes"})

    texts = [str(each) for each in get_messages(response.wsgi_request)]
    assert any("the person gets a new, empty user here" in text for text in texts)
    assert not Account.objects.exists()
    assert resolve_user(testing.make_identity(mint_token(), "anna")).username == "anna"


def test_list_of_users_costs_no_query_for_each_user(root: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        resolve_user(testing.make_identity(mint_token(), f"u{number}"))

    with django_assert_max_num_queries(8):
        root.get("/admin/auth/user/")


def test_admin_of_users_has_the_mixin_without_a_line_in_the_site() -> None:
    assert isinstance(admin.site.get_model_admin(User), SSOUserAdminMixin)
    assert not isinstance(admin.site.get_model_admin(Group), SSOUserAdminMixin)
