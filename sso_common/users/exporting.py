"""Reads this site's own users for an export to the portal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model

from sso_common.exported import ExportedUser

BATCH: Final = 1000


def export_users(*, passwords: bool = True, all_verified: bool = False) -> Iterator[ExportedUser]:
    """Yield the users who are not linked to a subject, by primary key.

    ``all_verified``: the site has confirmed all addresses. Otherwise, those count that django-allauth, if
    it is installed, knows as verified. Memory does not grow with the number of users.
    """
    model: Any = get_user_model()
    rows = model._default_manager.filter(sso_account=None).order_by("pk").iterator(chunk_size=BATCH)
    while users := list(islice(rows, BATCH)):
        verified = verified_addresses([user.pk for user in users])
        for user in users:
            email = getattr(user, model.get_email_field_name(), None) or ""
            is_verified = bool(email) and (all_verified or (user.pk, email.lower()) in verified)
            yield exported(user, email, is_verified, passwords)


def exported(user: Any, email: str, is_verified: bool, passwords: bool) -> ExportedUser:
    first_name, last_name = names_of(user)
    joined = getattr(user, "date_joined", None)
    return ExportedUser(
        key=str(user.pk),
        username=user.get_username(),
        email=email,
        email_verified=is_verified,
        first_name=first_name,
        last_name=last_name,
        is_active=bool(user.is_active),
        is_privileged=bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)),
        password=user.password if passwords and user.has_usable_password() else "",
        joined=joined.isoformat() if joined else "",
    )


def names_of(user: Any) -> tuple[str, str]:
    """Return first and last name. A single ``name`` is divided at its last space."""
    if hasattr(user, "first_name"):
        return user.first_name or "", getattr(user, "last_name", "") or ""
    first, _, last = (getattr(user, "name", "") or "").strip().rpartition(" ")
    return (first, last) if first else (last, "")


def verified_addresses(keys: list[Any]) -> set[tuple[Any, str]]:
    """Return (key of a user, address in lower case) of the addresses that allauth knows as verified."""
    if not apps.is_installed("allauth.account"):
        return set()
    model: Any = apps.get_app_config("account").get_model("EmailAddress")
    rows = model._default_manager.filter(user__in=keys, verified=True)
    return {(key, email.lower()) for key, email in rows.values_list("user_id", "email")}
