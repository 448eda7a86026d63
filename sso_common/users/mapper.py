"""Maps a snapshot to the fields of this site's user model."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models

from sso_common import conf
from sso_common.snapshot import UserSnapshot

from .fields import has_field, has_own_value, is_automatic
from .roles import apply_roles, names_set, twin

#: Fields that ``UserMapper.fields`` must not set. ``apply_roles`` and ``SSO_ROLE_GROUPS`` give
#: privileges, and passwords stay at the portal.
FORBIDDEN: Final = frozenset({"is_superuser", "is_staff", "password", "groups", "user_permissions"})


class UserMapper:
    """Maps a snapshot to the fields of the user model. The setting ``SSO_USER_MAPPER`` names it.

    Override ``fields`` if your model has other fields, ``apply_roles`` if roles give something else
    than ``is_staff``, and ``alternatives`` to choose what happens if another user already has a value
    that must be unique:

    >>> class ShopUserMapper(UserMapper):
    ...     def fields(self, snapshot):
    ...         return {**super().fields(snapshot), "name": snapshot.display_name}
    >>> ada = UserSnapshot(sub=uuid.UUID(int=1), version=1, username="ada", first_name="Ada")
    >>> ShopUserMapper().fields(ada)["name"]
    'Ada'

    A change of the settings or of a mapper's source reaches each user at the next visit, and all
    users at the next start of ``sso_sync`` (see ``mapping``).
    """

    #: Increase it in your class after a change that its source does not show, such as one in a
    #: function that it calls: then all users are written again.
    version = 1

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

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        """Set the fields of a user that the roles at this site decide. Do not save the user.

        Called each time the user is written, and for users without values by system checks. Set each
        of these fields for every set of roles: ``roles`` is empty when the last role was withdrawn.
        Fields other than the password and the key are allowed. Memberships of groups follow from
        ``SSO_ROLE_GROUPS``.

        >>> class EventsUserMapper(UserMapper):
        ...     def apply_roles(self, user, roles):
        ...         user.is_administrator = "admin" in roles
        """
        if has_field(get_user_model(), "is_staff"):
            user.is_staff = not roles.isdisjoint(conf.staff_roles())

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
        # A column of less than 33 characters has no room for the last suffix: its end is enough.
        return [f"{value[: max(0, limit - len(suffix) - 1)]}-{suffix}"[-limit:] for suffix in suffixes]


def local_values(model: Any, mapper: UserMapper, snapshot: UserSnapshot, user: Any = None) -> dict[str, Any]:
    """Return {field: value} as it is stored: the mapper's values, cut to length, and what the roles change
    on ``user`` (by default, a new one), which stays as it is."""
    values = mapper.fields(snapshot)
    if forbidden := FORBIDDEN & values.keys():
        raise ImproperlyConfigured(
            f"The method fields of SSO_USER_MAPPER must not set {min(forbidden)!r}: passwords are never "
            "synced, and privileges come from apply_roles, SSO_STAFF_ROLES and SSO_ROLE_GROUPS only."
        )
    try:
        values = {name: fit(model._meta.get_field(name), value) for name, value in values.items()}
    except FieldDoesNotExist as error:
        raise ImproperlyConfigured(f"SSO_USER_MAPPER sets an unknown field: {error}.") from error
    planned = model() if user is None else twin(user)
    for name, value in values.items():
        setattr(planned, name, value)
    return values | apply_roles(mapper, planned, frozenset() if snapshot.deleted else snapshot.roles)


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
    known = mapped_names(mapper) | FORBIDDEN | {model.USERNAME_FIELD}
    return [field for field in model._meta.concrete_fields if field.name not in known]


def mapped_names(mapper: UserMapper) -> set[str]:
    """Return the names of the fields that the mapper's ``fields`` sets."""
    return set(mapper.fields(UserSnapshot(sub=uuid.UUID(int=0), version=0, username="anna")))


def synced_fields(mapper: UserMapper) -> set[str]:
    """Return the names of the fields that follow the portal: those of ``fields`` and ``apply_roles``."""
    return mapped_names(mapper) | names_set(mapper, get_user_model())
