"""``manage.py demo_data``: create three people and the demo's sites. It can be run again.

For the demo and the tests only: everyone knows the passwords.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from portal.registry import acl, services
from portal.registry.dsns import dsn_for
from portal.registry.models import Site
from sso_common.exceptions import StoreUnavailable

#: The demo's sites, with the roles that they know.
SITES: Final[dict[str, dict[str, Any]]] = {
    "site_a": {
        "title": "Notes",
        "description": "Private and public notes.",
        "roles": {"staff": "Staff", "editor": "Editor"},
        "order": 1,
    },
    "site_b": {
        "title": "Shop",
        "description": "A cart that waits while you sign in.",
        "roles": {"staff": "Staff", "manager": "Manager"},
        "order": 2,
    },
}

PEOPLE: Final[tuple[dict[str, Any], ...]] = (
    {"username": "anna", "first_name": "Anna", "last_name": "Arden", "about": "no roles"},
    {
        "username": "ben",
        "first_name": "Ben",
        "last_name": "Brook",
        "about": "staff and editor at Notes",
        "roles": (("site_a", "staff"), ("site_a", "editor")),
    },
    {
        "username": "cleo",
        "first_name": "Cleo",
        "last_name": "Carver",
        "about": "runs the portal; manager at Shop",
        "is_superuser": True,
        "roles": (("site_b", "staff"), ("site_b", "manager")),
    },
)


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Create the demo's people and sites. Never run this on a portal that real people use."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--site", action="append", default=[], metavar="NAME=URL", help="a site of the demo; repeatable"
        )
        parser.add_argument("--json", action="store_true", help="print credentials and DSNs as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        addresses = dict(text.partition("=")[::2] for text in options["site"])
        try:
            for name, url in addresses.items():
                add_site(name, url)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except StoreUnavailable as error:
            raise CommandError(f"Redis did not answer ({error.detail}).") from error
        credentials = [add_person(**person) for person in PEOPLE]
        if options["json"]:
            dsns = {site.name: str(dsn_for(site.name)) for site in Site.objects.all()}
            self.stdout.write(json.dumps({"credentials": credentials, "sites": dsns}, indent=2))
            return
        for each in credentials:
            self.stdout.write(f"{each['username']:6} {each['password']:20} {each['about']}")


def add_site(name: str, url: str) -> None:
    """Register a site, or bring its address and its Redis user up to date."""
    site = Site.objects.filter(name=name).first()
    if site is None:
        services.register(name, url, **SITES.get(name, {}))
        return
    if site.origin != url:
        # The demo runs on other ports now.
        site.origin = url
        site.full_clean()
        site.save(update_fields=["origin"])
    acl.set_site_user(site)


def add_person(
    username: str, first_name: str, last_name: str, about: str, is_superuser: bool = False, roles: Any = ()
) -> dict[str, str]:
    """Create a person with roles unless they exist. Returns how they sign in."""
    password = f"demo-password-{username}"
    email = f"{username}@example.com"
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        user = get_user_model().objects.create_user(
            username,
            email,
            password,
            email_verified=True,
            first_name=first_name,
            last_name=last_name,
            is_staff=is_superuser,
            is_superuser=is_superuser,
        )
        for site, role in roles:
            if Site.objects.filter(name=site).exists():
                services.give_role(user, site, role)
    return {"username": username, "email": email, "password": password, "about": about}
