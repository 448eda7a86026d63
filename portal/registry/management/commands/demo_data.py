"""``manage.py demo_data``: three people and the demo's sites. May be run any number of times.

For the demo and the tests only: the passwords are the same everywhere.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from portal import keys
from portal.registry import acl, services
from portal.registry.models import Site
from sso_common.exceptions import StoreUnavailable

#: What the demo's sites are called, and the roles that they know.
SITES: dict[str, dict[str, Any]] = {
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

PEOPLE: tuple[dict[str, Any], ...] = (
    {"username": "anna", "first_name": "Anna", "last_name": "Arden", "about": "an ordinary person"},
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

    help = "Make the demo's people and sites. Never run this where real people sign in."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--site", action="append", default=[], metavar="NAME=URL", help="repeatable")
        parser.add_argument("--json", action="store_true", help="print credentials and DSNs as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        addresses = dict(text.partition("=")[::2] for text in options["site"])
        try:
            for name, url in addresses.items():
                _site(name, url)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except StoreUnavailable as error:
            raise CommandError(f"Redis refused or did not answer ({error.detail}).") from error
        credentials = [_person(**person) for person in PEOPLE]
        if options["json"]:
            dsns = {site.name: str(keys.dsn_for(site.name)) for site in Site.objects.all()}
            self.stdout.write(json.dumps({"credentials": credentials, "sites": dsns}, indent=2))
            return
        for each in credentials:
            self.stdout.write(f"{each['username']:6} {each['password']:20} {each['about']}")


def _site(name: str, url: str) -> None:
    site = Site.objects.filter(name=name).first()
    if site is None:
        services.register(name, url, **SITES.get(name, {}))
        return
    if site.origin != url:
        # The demo was moved to other ports.
        site.origin = url
        site.full_clean()
        site.save(update_fields=["origin"])
    acl.grant(site)


def _person(
    username: str, first_name: str, last_name: str, about: str, is_superuser: bool = False, roles: Any = ()
) -> dict[str, str]:
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
                services.grant(user, site, role)
    return {"username": username, "email": email, "password": password, "about": about}
