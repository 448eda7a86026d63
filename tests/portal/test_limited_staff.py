"""Nobody gives what they do not hold, and nobody touches the account of somebody who holds more."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from portal.registry import services as registry
from portal.registry.models import Grant, Role
from portal.sessions.models import Session

from .people import PASSWORD, browser, is_live, person, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

NEW = {"password1": "another-passphrase", "password2": "another-passphrase"}


@pytest.fixture
def admin_role() -> Role:
    registry.register("site_a", "https://a.sso.localhost", roles={"admin": "Admin", "helper": "Helper"})
    return Role.objects.get(name="admin")


@pytest.fixture
def helper_role(admin_role: Role) -> Role:
    return Role.objects.get(name="helper")


@pytest.fixture
def clerk(helper_role: Role) -> Any:
    """A member of staff with every permission of a model, and the role of a helper."""
    clerk = person("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.all())
    Grant.objects.create(user=clerk, role=helper_role)
    return clerk


@pytest.fixture
def client(clerk: Any) -> Client:
    client = browser()
    sign_in(client, "clerk")
    return client


def inline(prefix: str, *rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    """The fields of a formset."""
    fields = {f"{prefix}-TOTAL_FORMS": str(len(rows)), f"{prefix}-INITIAL_FORMS": str(initial)}
    return fields | {
        f"{prefix}-{number}-{name}": value for number, row in enumerate(rows) for name, value in row.items()
    }


def person_form(user: Any, *grants: dict[str, Any], **changes: str) -> dict[str, Any]:
    fields = {"username": user.username, "email": user.email, "is_active": "on"}
    return fields | inline("grants", *grants) | changes


def test_attack_staff_give_themselves_a_role(client: Client, clerk: Any, admin_role: Role) -> None:
    page = f"/admin/accounts/user/{clerk.pk}/change/"
    client.post("/admin/registry/grant/add/", {"user": clerk.pk, "role": admin_role.pk})
    client.post(page, person_form(clerk, {"user": clerk.pk, "role": admin_role.pk}))
    client.post(
        f"/admin/registry/role/{admin_role.pk}/change/",
        {"label": "Admin"} | inline("grants", {"user": clerk.pk, "role": admin_role.pk}),
    )
    own = Grant.objects.get(user=clerk)
    client.post(f"/admin/registry/grant/{own.pk}/change/", {"user": clerk.pk, "role": admin_role.pk})

    assert [grant.role.name for grant in clerk.grants.all()] == ["helper"]


def test_attack_staff_rename_a_role_that_they_hold(
    client: Client, helper_role: Role, admin_role: Role
) -> None:
    admin_role.delete()
    client.post(
        f"/admin/registry/role/{helper_role.pk}/change/",
        {"site": helper_role.site_id, "name": "admin", "label": "x"} | inline("grants"),
    )
    row = {"id": helper_role.pk, "site": helper_role.site_id, "name": "admin"}
    site = {
        "origin": "https://a.sso.localhost",
        "title": "Notes",
        "access": "everyone",
        "is_active": "on",
        "order": "0",
    }
    client.post(f"/admin/registry/site/{helper_role.site_id}/change/", site | inline("roles", row, initial=1))

    helper_role.refresh_from_db()
    assert helper_role.name == "helper"


def test_attack_staff_define_a_role_for_themselves(client: Client, clerk: Any, admin_role: Role) -> None:
    site = admin_role.site_id
    grant = inline("grants", {"user": clerk.pk})
    added = client.post("/admin/registry/role/add/", {"site": site, "name": "owner", "label": "x"} | grant)
    deleted = client.post(f"/admin/registry/role/{admin_role.pk}/delete/", {"post": "yes"})
    row = {"id": admin_role.pk, "site": site, "name": "admin", "DELETE": "on"}
    form = {"origin": "https://a.sso.localhost", "title": "Notes", "access": "everyone", "order": "0"}
    client.post(f"/admin/registry/site/{site}/change/", form | inline("roles", row, initial=1))

    assert (added.status_code, deleted.status_code) == (403, 403)
    assert Role.objects.filter(pk=admin_role.pk).exists()
    assert [held.role.name for held in clerk.grants.all()] == ["helper"]


def test_attack_staff_sign_out_a_superuser(client: Client) -> None:
    root = person("root", is_staff=True, is_superuser=True)
    theirs = browser()
    sign_in(theirs, "root")
    row = Session.objects.get(user=root)

    client.post("/admin/portal_sessions/session/", {"action": "end", "_selected_action": [row.sid]})

    assert is_live(row.sid)


def test_attack_staff_set_the_password_of_somebody_who_holds_more(client: Client, admin_role: Role) -> None:
    anna = person()
    Grant.objects.create(user=anna, role=admin_role)
    page = f"/admin/accounts/user/{anna.pk}"

    answers = [
        client.post(f"{page}/password/", NEW),
        client.post(f"{page}/change/", person_form(anna, email="clerk2@example.com")),
        client.post(f"{page}/delete/", {"post": "yes"}),
    ]
    client.post("/admin/accounts/user/", {"action": "deactivate", "_selected_action": [str(anna.pk)]})

    anna.refresh_from_db()
    assert [answer.status_code for answer in answers] == [403] * 3
    assert anna.check_password(PASSWORD)
    assert (anna.email, anna.is_active) == ("anna@example.com", True)


def test_attack_staff_give_their_group_every_permission(client: Client, clerk: Any) -> None:
    group = Group.objects.create(name="clerks")
    clerk.groups.add(group)

    answers = [
        client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "clerks", "permissions": ["1"]}),
        client.post("/admin/auth/group/add/", {"name": "more", "permissions": ["1"]}),
        client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert not group.permissions.exists()


def test_staff_help_people_who_hold_no_more_than_they(client: Client, clerk: Any, helper_role: Role) -> None:
    anna = person()
    Grant.objects.create(user=anna, role=helper_role)

    password = client.post(f"/admin/accounts/user/{anna.pk}/password/", {**NEW, "usable_password": "true"})
    name = client.post(f"/admin/accounts/user/{anna.pk}/change/", person_form(anna, first_name="Anna"))

    anna.refresh_from_db()
    assert (password.status_code, name.status_code) == (302, 302)
    assert anna.check_password(NEW["password1"])
    assert anna.first_name == "Anna"
    assert anna.grants.count() == 1


def test_staff_give_a_role_that_they_hold(client: Client, helper_role: Role) -> None:
    anna, ben = person(), person("ben")

    client.post("/admin/registry/grant/add/", {"user": anna.pk, "role": helper_role.pk})
    client.post(
        f"/admin/accounts/user/{ben.pk}/change/", person_form(ben, {"user": ben.pk, "role": helper_role.pk})
    )

    assert {grant.user for grant in helper_role.grants.all()} >= {anna, ben}


def test_a_role_that_staff_do_not_hold_stays_with_its_holder(client: Client, admin_role: Role) -> None:
    anna = person()
    grant = Grant.objects.create(user=anna, role=admin_role)

    answer = client.post(f"/admin/registry/grant/{grant.pk}/delete/", {"post": "yes"})
    client.post(
        "/admin/registry/grant/", {"action": "delete_selected", "_selected_action": [grant.pk], "post": "yes"}
    )

    assert answer.status_code == 403
    assert Grant.objects.filter(pk=grant.pk).exists()
