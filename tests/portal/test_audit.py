"""The audit log: changes are recorded with their actor, however they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models.functions import Lower
from django.test import Client
from django.urls import reverse

from portal.audit.models import AuditEvent

from .people import browser, person, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

User: Any = get_user_model()


def events() -> list[tuple[Any, ...]]:
    """(kind, subject, actor, detail), the oldest first, without sign-ins."""
    rows = AuditEvent.objects.exclude(kind="signed_in").order_by("pk")
    return list(rows.values_list("kind", "sub", "actor", "detail"))


@pytest.fixture
def anna() -> Any:
    return person()


@pytest.fixture
def administrator() -> tuple[Any, Client]:
    """A superuser and their browser; the log is empty."""
    cleo = person("cleo", is_staff=True, is_superuser=True)
    client = browser()
    sign_in(client, "cleo")
    AuditEvent.objects.all().delete()
    return cleo, client


@pytest.mark.parametrize(
    ("action", "kind", "detail"),
    [
        ("deactivate", "deactivated", ""),
        ("activate", "activated", ""),
        ("sign_out_everywhere", "session_ended", "all sessions, by an administrator"),
        ("delete_selected", "deleted", ""),
    ],
)
def test_admin_actions_on_users_are_recorded_with_their_actor(
    anna: Any, administrator: tuple[Any, Client], action: str, kind: str, detail: str
) -> None:
    cleo, client = administrator
    if action == "activate":
        User.objects.filter(pk=anna.pk).update(is_active=False)
        AuditEvent.objects.all().delete()

    client.post(
        reverse("admin:accounts_user_changelist"),
        {"action": action, "_selected_action": [str(anna.pk)], "post": "yes"},
    )

    assert events() == [(kind, anna.pk, cleo.pk, detail)]


def test_changes_on_a_users_admin_page_are_recorded_with_their_actor(
    anna: Any, administrator: tuple[Any, Client]
) -> None:
    cleo, client = administrator
    form = {"username": "anna", "email": "anneke@example.com", "is_staff": "on", "is_superuser": "on"}
    inline = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}

    client.post(reverse("admin:accounts_user_change", args=[anna.pk]), form | inline)

    assert events() == [
        ("deactivated", anna.pk, cleo.pk, ""),
        ("email_changed", anna.pk, cleo.pk, ""),
        ("rights_changed", anna.pk, cleo.pk, "staff: yes, superuser: yes"),
    ]


def _save(user: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(user, name, value)
    user.save()


def _save_fields(user: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(user, name, value)
    user.save(update_fields=list(fields))


def _update(user: Any, **fields: Any) -> None:
    User.objects.filter(pk=user.pk).update(**fields)


def _bulk_update(user: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(user, name, value)
    User.objects.bulk_update([user], list(fields))


WAYS = [_save, _save_fields, _update, _bulk_update]


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"is_active": False}, ("deactivated", "")),
        ({"email": "other@example.com"}, ("email_changed", "")),
        ({"is_staff": True}, ("rights_changed", "staff: yes")),
        ({"is_superuser": True}, ("rights_changed", "superuser: yes")),
    ],
)
def test_account_changes_are_recorded_however_they_are_written(
    anna: Any, write: Callable[..., None], fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    write(anna, **fields)

    assert [(kind, sub, detail) for kind, sub, _, detail in events()] == [(expected[0], anna.pk, expected[1])]


@pytest.mark.parametrize("write", WAYS)
def test_write_without_a_change_is_not_recorded(anna: Any, write: Callable[..., None]) -> None:
    write(anna, is_active=True, is_staff=False, is_superuser=False, email="anna@example.com")
    write(anna, first_name="Anneke")

    assert events() == []


def test_expression_with_the_same_value_is_not_recorded(anna: Any) -> None:
    anna.email = Lower("email")

    anna.save()

    assert events() == []


def test_new_superuser_is_recorded() -> None:
    root = User.objects.create_superuser("root", "root@example.com", "pw")

    assert events() == [("rights_changed", root.pk, None, "staff: yes, superuser: yes")]


def test_rolled_back_change_is_not_recorded(anna: Any) -> None:
    with transaction.atomic():
        _save(anna, is_active=False)
        transaction.set_rollback(True)

    assert events() == []


def test_saving_a_stale_copy_does_not_change_rights(anna: Any) -> None:
    stale = User.objects.get(pk=anna.pk)
    _save(anna, is_staff=True)

    stale.set_password("another-password")
    stale.save()

    assert User.objects.get(pk=anna.pk).is_staff
