"""Registering sites and answering who may enter which.

In: names and users. Out: what an identity record and the feed say about sites and roles. Called by
the sessions app, the feed, the admin and ``manage.py sso_site``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from portal.keys import PORTAL

from . import acl
from .models import Access, Grant, Role, Site


def roles_by_site(subs: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, frozenset[str]]]:
    """{subject: {site: roles}} for many people, in one query; subjects without a role are left out."""
    rows = Grant.objects.filter(user__in=list(subs)).values_list("user_id", "role__site__name", "role__name")
    found: dict[uuid.UUID, dict[str, set[str]]] = {}
    for sub, site, role in rows:
        found.setdefault(sub, {}).setdefault(site, set()).add(role)
    return {sub: {site: frozenset(roles) for site, roles in sites.items()} for sub, sites in found.items()}


def entry_maps(users: Iterable[Any]) -> dict[uuid.UUID, dict[str, frozenset[str]]]:
    """``entry_map`` for many users, in two queries."""
    users = list(users)
    sites = list(Site.objects.filter(is_active=True).values_list("name", "access"))
    roles = roles_by_site(user.pk for user in users)
    return {user.pk: _entry_map(user, sites, roles.get(user.pk, {})) for user in users}


def entry_map(user: Any) -> dict[str, frozenset[str]]:
    """{site: roles there} for every site that a user may enter. Nothing for inactive users."""
    return entry_maps([user])[user.pk]


def _entry_map(
    user: Any, sites: Iterable[tuple[str, str]], roles: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    if not user.is_active:
        return {}
    entered = {
        name: roles.get(name, frozenset())
        for name, access in sites
        if access == Access.EVERYONE or name in roles
    }
    # Everybody may see their own account at the portal.
    return {PORTAL: frozenset(), **entered}


@dataclass(frozen=True, slots=True)
class Tile:
    """A site on a person's home page, with what their roles there are called."""

    site: Site
    roles: tuple[str, ...]


def tiles_for(user: Any) -> list[Tile]:
    """The sites that a user may open, in the order of the home page."""
    entered = entry_map(user)
    labels = {
        (role.site_id, role.name): role.label or role.name
        for role in Role.objects.filter(grants__user=user.pk)
    }
    return [
        Tile(site, tuple(labels[site.pk, name] for name in sorted(entered[site.name])))
        for site in Site.objects.filter(name__in=entered)
    ]


def register(
    name: str,
    origin: str,
    *,
    title: str = "",
    description: str = "",
    access: str = Access.EVERYONE,
    roles: Mapping[str, str] | None = None,
    order: int = 0,
) -> Site:
    """Register a site with its roles {name: label} and give it its Redis user.

    Raises ``ValidationError``.
    """
    site = Site(
        name=name,
        origin=origin,
        title=title or name.replace("_", " ").replace("-", " ").capitalize(),
        description=description,
        access=access,
        order=order,
    )
    site.full_clean()
    with transaction.atomic():
        site.save()
        add_roles(site, roles or {})
        # Last, so that a Redis which refuses leaves no half-registered site behind.
        acl.grant(site)
    return site


def add_roles(site: Site, roles: Mapping[str, str]) -> None:
    """Make sure that a site has these roles."""
    for name, label in roles.items():
        role = Role(site=site, name=name, label=label)
        if site.roles.filter(name=name).exists():
            continue
        role.full_clean()
        role.save()


def begin_rotation(site: Site) -> None:
    """Give a site a new secret; the old one stays good until ``finish_rotation``."""
    if site.previous_generation is not None:
        raise ValidationError(
            f"{site.name} is being rotated already: once it uses its new DSN, finish with "
            f"`manage.py sso_site rotate {site.name} --finish`."
        )
    with transaction.atomic():
        site.previous_generation = site.generation
        site.generation += 1
        site.save(update_fields=["generation", "previous_generation"])
        acl.grant(site)


def finish_rotation(site: Site) -> None:
    """Refuse a site's previous secret from now on."""
    if site.previous_generation is None:
        raise ValidationError(f"{site.name} is not being rotated.")
    with transaction.atomic():
        site.previous_generation = None
        site.save(update_fields=["previous_generation"])
        acl.grant(site)
        acl.disconnect(site.name)


def remove(site: Site) -> None:
    """Forget a site: nobody may enter it, its keys and its Redis user are refused."""
    with transaction.atomic():
        name = site.name
        site.delete()
        acl.revoke(name)


def grant(user: Any, site: str, role: str) -> Grant:
    """Give a role to a person. Raises ``Role.DoesNotExist``."""
    found = Role.objects.get(site__name=site, name=role)
    return Grant.objects.get_or_create(user=user, role=found)[0]


def withdraw(user: Any, site: str, role: str) -> None:
    """Take a role from a person."""
    Grant.objects.filter(user=user, role__site__name=site, role__name=role).delete()
