"""Notes' admin: users sign in at the portal."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from site_a.notes.models import Note
from sso_common.testing import sign_in


@pytest.fixture
def ben() -> User:
    return User.objects.create_user("ben")


def test_admin_sends_anonymous_visitors_to_sign_in_and_back(client: Client) -> None:
    response = client.get("/admin/notes/note/", follow=False)
    hop = client.get(response["Location"])

    assert response.status_code == 302
    assert hop["Location"] == "/sso/login/?next=%2Fadmin%2Fnotes%2Fnote%2F"


def test_admin_answers_403_without_a_loop_to_users_without_the_staff_role(client: Client) -> None:
    sign_in(client, "anna", roles=["editor"])

    response = client.get("/admin/", follow=True)

    assert response.status_code == 403
    assert len(response.redirect_chain) <= 1
    assert "portal" in response.text


def test_staff_role_opens_the_admin(client: Client) -> None:
    sign_in(client, "stella", roles=["staff"])

    response = client.get("/admin/notes/note/")

    assert response.status_code == 200
    user = User.objects.get(username="stella")
    assert (user.is_staff, user.is_superuser) == (True, False)


def test_losing_the_role_removes_staff_status(client: Client) -> None:
    sign_in(client, "stella", roles=["staff"])
    client.get("/admin/")

    sign_in(client, "stella", roles=[], version=2)

    assert client.get("/admin/", follow=True).status_code == 403
    assert User.objects.get(username="stella").is_staff is False


def test_attack_role_that_is_not_mapped_grants_nothing(client: Client) -> None:
    sign_in(client, "mallory", roles=["admin", "superuser", "Staff", "is_staff"])

    assert client.get("/admin/", follow=True).status_code == 403
    user = User.objects.get(username="mallory")
    assert (user.is_staff, user.is_superuser, user.groups.count()) == (False, False, 0)


def test_staff_edit_public_notes_and_do_not_see_private_ones(client: Client, ben: User) -> None:
    public = Note.objects.create(owner=ben, title="For everybody", is_public=True)
    private = Note.objects.create(owner=ben, title="Secret plan")
    sign_in(client, "stella", roles=["staff"])

    listing = client.get("/admin/notes/note/").text

    assert "For everybody" in listing
    assert "Secret plan" not in listing
    assert client.get(f"/admin/notes/note/{public.pk}/change/").status_code == 200
    assert client.get(f"/admin/notes/note/{private.pk}/change/").status_code == 302


def test_staff_can_view_users_and_cannot_change_them(client: Client, ben: User) -> None:
    sign_in(client, "stella", roles=["staff"])

    assert client.get(f"/admin/auth/user/{ben.pk}/change/").status_code == 200
    response = client.post(f"/admin/auth/user/{ben.pk}/change/", {"username": "ben", "is_superuser": "on"})

    assert response.status_code == 403
    ben.refresh_from_db()
    assert ben.is_superuser is False


def test_local_superuser_can_sign_in_without_the_portal(client: Client) -> None:
    User.objects.create_superuser("breakglass", password="only-in-an-emergency")

    form = client.get("/admin/login/?local&next=/admin/")
    assert 'name="password"' in form.text

    response = client.post(
        "/admin/login/?local",
        {"username": "breakglass", "password": "only-in-an-emergency", "next": "/admin/"},
        follow=True,
    )
    assert response.status_code == 200
    assert response.redirect_chain == [("/admin/", 302)]
