"""Registers, rotates and removes sites, and gives roles.

Called by ``manage.py sso_site`` and the admin. What concerns Redis is done last, inside of the
transaction: if Redis does not answer, the database does not change either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from . import acl
from .models import Access, Grant, Role, Site


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
    """Register a site with its roles {name: label}, and create its Redis user.

    Raises ``ValidationError`` or ``StoreUnavailable``.
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
        acl.set_site_user(site)
    return site


def add_roles(site: Site, roles: Mapping[str, str]) -> None:
    """Add the roles {name: label} that a site does not have yet."""
    for name, label in roles.items():
        role = Role(site=site, name=name, label=label)
        if site.roles.filter(name=name).exists():
            continue
        role.full_clean()
        role.save()


def begin_rotation(site: Site) -> None:
    """Give a site a new secret. The old one stays valid until ``finish_rotation``."""
    if site.previous_generation is not None:
        raise ValidationError(
            f"The rotation of {site.name} has not finished. When the site uses its new DSN, run "
            f"`manage.py sso_site rotate {site.name} --finish`."
        )
    with transaction.atomic():
        site.previous_generation = site.generation
        site.generation += 1
        site.save(update_fields=["generation", "previous_generation"])
        acl.set_site_user(site)


def finish_rotation(site: Site) -> None:
    """Refuse a site's previous secret from now on."""
    if site.previous_generation is None:
        raise ValidationError(f"{site.name} has only one secret. There is no rotation to finish.")
    with transaction.atomic():
        site.previous_generation = None
        site.save(update_fields=["previous_generation"])
        acl.set_site_user(site)
        acl.disconnect(site.name)


def remove(site: Site) -> None:
    """Remove a site: no user has access any more, and its keys and its Redis user are refused."""
    with transaction.atomic():
        name = site.name
        site.delete()
        acl.delete_site_user(name)


def give_role(user: Any, site: str, role: str) -> Grant:
    """Give a role at a site to a user, who may already have it. Raises ``Role.DoesNotExist``."""
    found = Role.objects.get(site__name=site, name=role)
    return Grant.objects.get_or_create(user=user, role=found)[0]


def grant_roles(wanted: list[tuple[Any, Role]]) -> int:
    """Give users roles; return how many they did not have."""
    return sum(Grant.objects.get_or_create(user=user, role=role)[1] for user, role in wanted)


def withdraw_roles(wanted: list[tuple[Any, Role]]) -> int:
    """Take roles from users; return how many they had."""
    return sum(Grant.objects.filter(user=user, role=role).delete()[0] for user, role in wanted)
