"""Which sites a user has access to, and with which roles."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sso_common.keys import PORTAL

from .models import Access, Grant, Role, Site


def roles_by_site(subs: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, frozenset[str]]]:
    """Return {subject: {site: roles}} in one query. Subjects without a role are left out."""
    rows = Grant.objects.filter(user__in=list(subs)).values_list("user_id", "role__site__name", "role__name")
    found: dict[uuid.UUID, dict[str, set[str]]] = {}
    for sub, site, role in rows:
        found.setdefault(sub, {}).setdefault(site, set()).add(role)
    return {sub: {site: frozenset(roles) for site, roles in sites.items()} for sub, sites in found.items()}


def access_maps(users: Iterable[Any]) -> dict[uuid.UUID, dict[str, frozenset[str]]]:
    """``access_map`` for many users, by subject, in two queries."""
    users = list(users)
    sites = list(Site.objects.filter(is_active=True).values_list("name", "access"))
    roles = roles_by_site(user.pk for user in users)
    return {user.pk: accessible(sites, roles.get(user.pk, {})) if user.is_active else {} for user in users}


def access_map(user: Any) -> dict[str, frozenset[str]]:
    """Return {site: roles there} of the sites that a user has access to. Inactive user: none."""
    return access_maps([user])[user.pk]


def accessible(
    sites: Iterable[tuple[str, str]], roles: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """Choose from sites (name, access) those that a user with these roles has access to."""
    chosen = {
        name: roles.get(name, frozenset())
        for name, access in sites
        if access == Access.EVERYONE or name in roles
    }
    return {PORTAL: frozenset(), **chosen}  # everyone has access to their own account


@dataclass(frozen=True, slots=True)
class Tile:
    """A site on the home page, with the labels of the user's roles there."""

    site: Site
    roles: tuple[str, ...]


def tiles_for(user: Any) -> list[Tile]:
    """Return the sites that a user has access to, in the order of the home page."""
    roles = access_map(user)
    labels = {
        (role.site_id, role.name): role.label or role.name
        for role in Role.objects.filter(grants__user=user.pk)
    }
    return [
        Tile(site, tuple(labels[site.pk, name] for name in sorted(roles[site.name])))
        for site in Site.objects.filter(name__in=roles)
    ]
