"""Check of what the portal's roles give at this site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.contrib.auth import get_user_model

from sso_common import conf
from sso_common.users import UserMapper
from sso_common.users.fields import has_field
from sso_common.users.groups import groups_relation
from sso_common.users.roles import EveryRole, names_set

from .imports import imported_class
from .keys import is_portal
from .messages import Messages, check, error, warning
from .settings import problem_of

#: (message, hint)
Problems: TypeAlias = Iterator[tuple[str, str]]

OWN_FIELDS: Final = (
    "set fields of your user model in apply_roles of your own mapper (SSO_USER_MAPPER): "
    'def apply_roles(self, user, roles): user.is_administrator = "admin" in roles'
)

SETTINGS: Final = ("SSO_STAFF_ROLES", "SSO_ROLE_GROUPS")


@check
def check_roles() -> Messages:
    """Every role that the settings name has an effect, and can be withdrawn."""
    staff, groups = (getattr(settings, name, conf.SETTINGS[name][0]) for name in SETTINGS)
    path = getattr(settings, "SSO_USER_MAPPER", conf.SETTINGS["SSO_USER_MAPPER"][0])
    mapper = imported_class(path)
    # E012 and E013 report settings of a wrong type, and a path that names nothing.
    are_valid = not any(
        problem_of(each, conf.SETTINGS[name][1]) for name, each in zip(SETTINGS, (staff, groups), strict=True)
    )
    if is_portal() or not are_valid or not issubclass(mapper, UserMapper):
        return
    for message, hint in ineffective(mapper, staff, groups):
        yield warning("W023", message, hint)
    for message, hint in unusable(mapper()):
        yield error("E035", message, hint)
        return
    name, model = f"{mapper.__qualname__}.apply_roles", get_user_model()
    for each in sorted(names_set(mapper(), model, EveryRole()) - names_set(mapper(), model)):
        yield warning(
            "W024",
            f"{name} sets {each} for a user with roles, but not for a user without: users keep it when "
            "their role is withdrawn.",
            f'Set it for every set of roles, for example: user.{each} = "admin" in roles',
        )


def ineffective(mapper: type[UserMapper], staff: Any, groups: Any) -> Problems:
    """Find settings without an effect on this user model."""
    model = get_user_model()
    if staff and mapper.apply_roles is UserMapper.apply_roles and not has_field(model, "is_staff"):
        yield (
            f"SSO_STAFF_ROLES has no effect: {model._meta.label} has no field is_staff.",
            f"Remove the setting, or {OWN_FIELDS}",
        )
    if groups and groups_relation() is None:
        yield (
            f"SSO_ROLE_GROUPS has no effect: {model._meta.label} has no groups with a name.",
            f"Remove the setting, or {OWN_FIELDS}",
        )


def unusable(mapper: UserMapper) -> Problems:
    """Try ``apply_roles`` on a user without values, with no role and with every role."""
    model: Any = get_user_model()
    name, pk = f"{type(mapper).__qualname__}.apply_roles", model._meta.pk
    try:
        names = names_set(mapper, model) | names_set(mapper, model, EveryRole())
    except Exception as raised:  # noqa: BLE001  the site's own code, and the check reports any error
        yield (
            f"{name} raises {type(raised).__name__} for a user without values: {raised}.",
            "Let apply_roles set fields of the user from the roles alone, also for an empty set of roles.",
        )
        return
    for each in sorted(names & {"password", "pk", pk.name, pk.attname}):
        yield (f"{name} sets {each}: no user can be stored.", f"Do not set {each} in apply_roles.")
    for each in sorted(each for each in names if not hasattr(model, each)):
        yield (
            f"{name} sets {each}, but {model._meta.label} has no such field: it would be lost.",
            f"Write the name of a field of {model._meta.label} in apply_roles.",
        )
