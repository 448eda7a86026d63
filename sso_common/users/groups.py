"""Keeps the groups that ``SSO_ROLE_GROUPS`` names in line with the roles; all others are local."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist

from sso_common import conf
from sso_common.snapshot import UserSnapshot

from .change import Change


def write_groups(changes: list[Change], using: str) -> None:
    """Add and remove memberships, in a number of queries that does not depend on ``changes``."""
    if not changes or not role_groups():
        return
    present = memberships([change.user.pk for change in changes], using)
    wanted = {change.user.pk: mapped_groups(change.snapshot) for change in changes}
    groups = get_or_create_groups(set().union(*wanted.values()), using)
    through, user_field, group_field = membership_model()
    rows = through._base_manager.using(using)
    if gone := [pk for user in present for name, pk in present[user].items() if name not in wanted[user]]:
        rows.filter(pk__in=gone).delete()
    missing = [
        through(**{f"{user_field}_id": user, f"{group_field}_id": groups[name]})
        for user, names in wanted.items()
        for name in names - present.get(user, {}).keys()
    ]
    if missing:
        rows.bulk_create(missing, ignore_conflicts=True)


def role_groups() -> dict[str, str]:
    """Return ``SSO_ROLE_GROUPS``, or nothing if the user model does not have Django's groups."""
    try:
        has_groups = get_user_model()._meta.get_field("groups").related_model is Group
    except FieldDoesNotExist:
        has_groups = False
    return conf.role_groups() if has_groups else {}


def mapped_groups(snapshot: UserSnapshot) -> set[str]:
    """Return the names of the groups that a user's roles give."""
    return {name for role, name in role_groups().items() if role in snapshot.roles}


def memberships(user_ids: Iterable[Any], using: str | None = None) -> dict[Any, dict[str, Any]]:
    """Return {user id: {name of a mapped group: id of the membership}}."""
    found: dict[Any, dict[str, Any]] = {}
    if names := set(role_groups().values()):
        through, user_field, group_field = membership_model()
        conditions = {f"{user_field}__in": user_ids, f"{group_field}__name__in": names}
        rows = through._base_manager.using(using).filter(**conditions)
        for pk, user, name in rows.values_list("pk", user_field, f"{group_field}__name"):
            found.setdefault(user, {})[name] = pk
    return found


def membership_model() -> tuple[Any, str, str]:
    """Return the model between users and groups, and the names of its foreign keys to both."""
    relation: Any = get_user_model()._meta.get_field("groups")
    return relation.remote_field.through, relation.m2m_field_name(), relation.m2m_reverse_field_name()


def get_or_create_groups(names: set[str], using: str) -> dict[str, Any]:
    """Return {name: id} of groups. A group that nobody needs yet is not created: other transactions would
    wait for the one that does."""
    rows = Group._default_manager.using(using).filter(name__in=names).values_list("name", "pk")
    found = dict(rows)
    if missing := names - found.keys():
        rows.bulk_create([Group(name=name) for name in sorted(missing)], ignore_conflicts=True)
        found = dict(rows.all())
    return found
