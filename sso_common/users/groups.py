"""Keeps the groups that ``SSO_ROLE_GROUPS`` names in line with the roles; all others are local.

Groups are what ``groups`` of the user model relates to, if that has a ``name``: Django's or others.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist

from sso_common import conf
from sso_common.snapshot import UserSnapshot

from .change import Change
from .fields import has_field, has_own_value

logger = logging.getLogger("sso_common.users")


def write_groups(changes: list[Change], using: str) -> None:
    """Add and remove memberships, in a number of queries that does not depend on ``changes``.

    Groups that only an earlier mapping named are left, too.
    """
    managed = {change.user.pk: {*role_groups().values(), *change.former_groups} for change in changes}
    if not any(managed.values()) or groups_relation() is None:
        return
    present = memberships(managed, using, {name for names in managed.values() for name in names})
    needed = {change.user.pk: mapped_groups(change.snapshot) for change in changes}
    groups = get_or_create_groups(set().union(*needed.values()), using)
    wanted = {user: names & groups.keys() for user, names in needed.items()}
    through, user_field, group_field = membership_model()
    rows = through._base_manager.using(using)
    gone = [
        pk
        for user, names in present.items()
        for name, keys in names.items()
        if name in managed[user] - wanted[user]
        for pk in keys
    ]
    if gone:
        rows.filter(pk__in=gone).delete()
    missing = [
        through(**{f"{user_field}_id": user, f"{group_field}_id": groups[name]})
        for user, names in wanted.items()
        for name in names - present.get(user, {}).keys()
    ]
    if missing:
        rows.bulk_create(missing, ignore_conflicts=True)


def groups_relation() -> Any | None:
    """Return the relation ``groups`` of the user model if its rows have a name, or None.

    The relation may also be declared on the other model.
    """
    try:
        relation: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return relation if relation.many_to_many and has_field(relation.related_model, "name") else None


def role_groups() -> dict[str, str]:
    """Return ``SSO_ROLE_GROUPS``, or nothing if the user model does not have such groups."""
    return conf.role_groups() if groups_relation() is not None else {}


def mapped_groups(snapshot: UserSnapshot) -> set[str]:
    """Return the names of the groups that a user's roles give."""
    return {name for role, name in role_groups().items() if role in snapshot.roles}


def memberships(
    user_ids: Iterable[Any], using: str | None = None, names: Collection[str] | None = None
) -> dict[Any, dict[str, list[Any]]]:
    """Return {user id: {name of a group: ids of the memberships}}; by default, of the mapped groups."""
    found: dict[Any, dict[str, list[Any]]] = {}
    if names := set(role_groups().values()) if names is None else names:
        through, user_field, group_field = membership_model()
        conditions = {f"{user_field}__in": list(user_ids), f"{group_field}__name__in": names}
        rows = through._base_manager.using(using).filter(**conditions)
        for pk, user, name in rows.values_list("pk", user_field, f"{group_field}__name"):
            found.setdefault(user, {}).setdefault(name, []).append(pk)
    return found


def membership_model() -> tuple[Any, str, str]:
    """Return the model between users and groups, and the names of its foreign keys to both."""
    relation: Any = groups_relation()
    if relation.auto_created:  # declared on the model of the groups
        field = relation.field
        return relation.through, field.m2m_reverse_field_name(), field.m2m_field_name()
    return relation.remote_field.through, relation.m2m_field_name(), relation.m2m_reverse_field_name()


def get_or_create_groups(names: set[str], using: str) -> dict[str, Any]:
    """Return {name: id} of groups. A group that nobody needs yet is not created: other transactions would
    wait for the one that does. Neither is one that needs more than a name."""
    model: Any = groups_relation().related_model  # type: ignore[union-attr]  # the caller has asked
    rows = model._base_manager.using(using).filter(name__in=names).order_by("-pk").values_list("name", "pk")
    found = dict(rows)
    missing = sorted(names - found.keys())
    if missing and all(field.name == "name" or has_own_value(field) for field in model._meta.concrete_fields):
        rows.bulk_create([model(name=name) for name in missing], ignore_conflicts=True)
        found = dict(rows.all())
    for name in names - found.keys():
        logger.error("SSO_ROLE_GROUPS names the group %r, which does not exist. Create it.", name)
    return found
