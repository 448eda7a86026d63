"""``manage.py sso_site``: register sites, show their DSNs, rotate their keys, remove them.

A DSN is printed alone on standard output, so that it can be piped to where it is kept; all other words
go to standard error.
"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from portal import keys
from portal.registry import acl, services
from portal.registry.models import Access, Site
from sso_common.exceptions import StoreUnavailable


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Register, list, rotate and remove the sites that share the portal's sign-in."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="register a site and print its DSN")
        add.add_argument("name", help="small letters, digits, - and _; it stays for good")
        add.add_argument("url", help="the site's address, for example https://a.example.com")
        add.add_argument("--title", default="", help="what people read on the portal's home page")
        add.add_argument("--description", default="")
        add.add_argument(
            "--access",
            choices=Access.values,
            default=Access.EVERYONE,
            help="everyone: any active user may enter; members: only holders of a role there",
        )
        add.add_argument("--role", action="append", default=[], metavar="NAME[:LABEL]", help="repeatable")
        add.add_argument("--if-missing", action="store_true", help="where it is registered, say so and go on")
        actions.add_parser("list", help="show all sites")
        dsn = actions.add_parser("dsn", help="print a site's DSN")
        dsn.add_argument("name")
        rotate = actions.add_parser("rotate", help="give a site a new secret and print its new DSN")
        rotate.add_argument("name")
        rotate.add_argument("--finish", action="store_true", help="refuse the old secret from now on")
        actions.add_parser("acl", help="set all sites' Redis users again, for a Redis that has lost them")
        remove = actions.add_parser("remove", help="forget a site; its keys are refused at once")
        remove.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except StoreUnavailable as error:
            raise CommandError(
                f"Redis refused or did not answer ({error.detail}), so nothing was changed. "
                "SSO_REDIS_URL must name a user who may run ACL SETUSER."
            ) from error

    def _add(self, options: dict[str, Any]) -> None:
        name = options["name"]
        roles = dict(_parse_role(text) for text in options["role"])
        site = Site.objects.filter(name=name).first()
        if site is None:
            site = services.register(
                name,
                options["url"],
                title=options["title"],
                description=options["description"],
                access=options["access"],
                roles=roles,
            )
            self._hint(
                f"{site.name} is registered. Set this as SSO_DSN in its environment, and keep it secret:"
            )
        elif options["if_missing"]:
            services.add_roles(site, roles)
            acl.grant(site)
            self._hint(f"{site.name} is registered already, as {site.origin}.")
        else:
            raise CommandError(f"{name} is registered already, as {site.origin}.")
        self._print_dsn(name)

    def _list(self, options: dict[str, Any]) -> None:
        for site in Site.objects.prefetch_related("roles"):
            state = "" if site.is_active else "  not active"
            state += "  being rotated" if site.previous_generation is not None else ""
            roles = ",".join(role.name for role in site.roles.all()) or "-"
            self.stdout.write(f"{site.name}\t{site.origin}\t{site.access}\troles: {roles}{state}")

    def _dsn(self, options: dict[str, Any]) -> None:
        self._print_dsn(_find(options["name"]).name)

    def _rotate(self, options: dict[str, Any]) -> None:
        site = _find(options["name"])
        if options["finish"]:
            services.finish_rotation(site)
            self._hint(f"Only the newest secret of {site.name} is accepted now. Its DSN without the old one:")
        else:
            services.begin_rotation(site)
            self._hint(
                f"{site.name} has a new secret; both are accepted. Set this as its SSO_DSN, restart it, "
                f"then run: manage.py sso_site rotate {site.name} --finish"
            )
        self._print_dsn(site.name)

    def _acl(self, options: dict[str, Any]) -> None:
        self._hint(f"{acl.grant_all()} Redis users are set.")

    def _remove(self, options: dict[str, Any]) -> None:
        site = _find(options["name"])
        services.remove(site)
        self._hint(f"{site.name} is removed. Its users stay as they are; nobody may enter it any more.")

    def _print_dsn(self, name: str) -> None:
        self.stdout.write(str(keys.dsn_for(name)))

    def _hint(self, text: str) -> None:
        self.stderr.write(text)


def _find(name: str) -> Site:
    site = Site.objects.filter(name=name).first()
    if site is None:
        known = ", ".join(Site.objects.order_by("name").values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no site named {name!r}. Registered: {known}.")
    return site


def _parse_role(text: str) -> tuple[str, str]:
    name, _, label = text.partition(":")
    return name, label or name.replace("_", " ").capitalize()
