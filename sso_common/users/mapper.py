"""Maps a snapshot to the fields of this site's user model."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models

from sso_common import conf
from sso_common.snapshot import UserSnapshot

#: Fields that a mapper must not set. Privileges come from ``SSO_STAFF_ROLES`` and
#: ``SSO_ROLE_GROUPS`` only, and passwords stay at the portal.
FORBIDDEN: Final = frozenset({"is_superuser", "is_staff", "password", "groups", "user_permissions"})


class UserMapper:
    """Maps a snapshot to the fields of the user model. The setting ``SSO_USER_MAPPER`` names it.

    Override ``fields`` if your model has other fields, and ``alternatives`` to choose what happens
    if another user already has a value that must be unique:

    >>> class ShopUserMapper(UserMapper):
    ...     def fields(self, snapshot):
    ...         return {**super().fields(snapshot), "name": snapshot.display_name}
    >>> ada = UserSnapshot(sub=uuid.UUID(int=1), version=1, username="ada", first_name="Ada")
    >>> ShopUserMapper().fields(ada)["name"]
    'Ada'
    """

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        """Return {field: value}, with fields of the user model only.

        Text that is too long is cut later; an email address that is too long is left out.
        """
        username = f"deleted-{snapshot.sub.hex[:8]}" if snapshot.deleted else snapshot.username
        values = {
            "username": username,
            "email": snapshot.email,
            "first_name": snapshot.first_name,
            "last_name": snapshot.last_name,
            "is_active": snapshot.is_active and not snapshot.deleted,
        }
        return {name: value for name, value in values.items() if has_field(get_user_model(), name)}

    def alternatives(self, field: models.Field[Any, Any], value: str, sub: uuid.UUID) -> list[Any]:
        """Return what to try, in order, if another user already has ``value``.

        The last alternative must be unique in any case. Names get a suffix made from the subject,
        which never changes. An email address is left out, or replaced by one that cannot receive
        mail if the model requires an address.
        """
        if field.null:
            return [None]
        if isinstance(field, models.EmailField):
            return [f"{sub.hex}@sso.invalid"]
        limit = field.max_length or 150
        suffixes = (sub.hex[:4], sub.hex[:12], sub.hex)
        return [f"{value[: limit - len(suffix) - 1]}-{suffix}" for suffix in suffixes]


def local_values(model: type[models.Model], mapper: UserMapper, snapshot: UserSnapshot) -> dict[str, Any]:
    """Return {field: value} as it is stored: the mapper's values, cut to length, and ``is_staff``."""
    values = mapper.fields(snapshot)
    if forbidden := FORBIDDEN & values.keys():
        raise ImproperlyConfigured(
            f"SSO_USER_MAPPER must not set {min(forbidden)!r}: passwords are never synced, and privileges "
            "come from SSO_STAFF_ROLES and SSO_ROLE_GROUPS only."
        )
    try:
        values = {name: fit(model._meta.get_field(name), value) for name, value in values.items()}
    except FieldDoesNotExist as error:
        raise ImproperlyConfigured(f"SSO_USER_MAPPER sets an unknown field: {error}.") from error
    if has_field(model, "is_staff"):
        values["is_staff"] = not snapshot.deleted and not snapshot.roles.isdisjoint(conf.staff_roles())
    return values


def fit(field: Any, value: Any) -> Any:
    """Cut a text to the length of its column."""
    limit = field.max_length
    if not isinstance(value, str) or limit is None or len(value) <= limit:
        return value
    # The first part of an email address may be the address of another person.
    return "" if isinstance(field, models.EmailField) else value[:limit]


def unmapped_fields(model: Any, mapper: UserMapper) -> list[str]:
    """Return the fields that need a value which neither the model nor the mapper provides."""
    return [field.name for field in unknown_fields(model, mapper) if not has_own_value(field)]


def empty_fields(model: Any, mapper: UserMapper) -> list[str]:
    """Return the text fields that the model's forms require and that would be stored empty."""
    return [
        field.name
        for field in unknown_fields(model, mapper)
        if has_own_value(field) and not (field.blank or field.null or field.has_default())
        if field.empty_strings_allowed and not (field.has_db_default() or is_automatic(field))
    ]


def unknown_fields(model: Any, mapper: UserMapper) -> list[models.Field[Any, Any]]:
    """Return the fields for which the mapper provides no value."""
    mapped = set(mapper.fields(UserSnapshot(sub=uuid.UUID(int=0), version=0, username="anna")))
    known = mapped | FORBIDDEN | {model.USERNAME_FIELD}
    return [field for field in model._meta.concrete_fields if field.name not in known]


def has_own_value(field: models.Field[Any, Any]) -> bool:
    """Whether the model or the database provides a value for a field."""
    if field.null or field.has_default() or field.has_db_default() or is_automatic(field):
        return True
    # Text defaults to "", which only one user can have in a unique field.
    return field.empty_strings_allowed and not field.unique


def is_automatic(field: models.Field[Any, Any]) -> bool:
    """Whether a field sets its value by itself."""
    automatic = ("auto_now", "auto_now_add", "auto_created", "generated")
    return isinstance(field, models.AutoField) or any(getattr(field, name, False) for name in automatic)


def has_field(model: type[models.Model], name: str) -> bool:
    """Whether a model has a column for a field of this name."""
    return any(field.name == name for field in model._meta.concrete_fields)
