"""``manage.py sso_site``: register sites, print their DSNs, rotate their keys, remove them.

A DSN is the only thing that is printed on standard output, so that it can be piped. Messages go to
standard error.
"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from portal.registry import acl, rights, services
from portal.registry.dsns import dsn_for
from portal.registry.models import Access, Site
from sso_common.exceptions import StoreUnavailable


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Register, list, rotate and remove the sites that share the portal's sign-in."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="register a site and print its DSN")
        add.add_argument("name", help="lower-case letters, digits, - and _; it cannot be changed")
        add.add_argument("url", help="the site's address, for example https://a.example.com")
        add.add_argument("--title", default="", help="its name on the portal's home page")
        add.add_argument("--description", default="")
        add.add_argument(
            "--access",
            choices=Access.values,
            default=Access.EVERYONE,
            help="everyone: all active users have access; members: only users with a role there",
        )
        add.add_argument("--role", action="append", default=[], metavar="NAME[:LABEL]", help="repeatable")
        add.add_argument("--if-missing", action="store_true", help="do not fail if it is already registered")
        actions.add_parser("list", help="list all sites")
        dsn = actions.add_parser("dsn", help="print a site's DSN")
        dsn.add_argument("name")
        rotate = actions.add_parser("rotate", help="give a site a new secret and print its new DSN")
        rotate.add_argument("name")
        rotate.add_argument("--finish", action="store_true", help="stop accepting the old secret")
        users = actions.add_parser("acl", help="set the Redis users of all sites again, if Redis lost them")
        users.add_argument(
            "--check", action="store_true", help="set nothing, but compare each with what would be set"
        )
        remove = actions.add_parser("remove", help="remove a site and refuse its keys at once")
        remove.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except StoreUnavailable as error:
            raise CommandError(
                f"Redis refused the command or did not answer ({error.detail}), so nothing was changed. "
                "The user in SSO_REDIS_URL needs the permissions in redis/users.acl."
            ) from error

    def _add(self, options: dict[str, Any]) -> None:
        name = options["name"]
        roles = dict(parse_role(text) for text in options["role"])
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
                f"{site.name} is registered. Set SSO_DSN in its environment as follows, and keep it secret:"
            )
        elif options["if_missing"]:
            services.add_roles(site, roles)
            acl.set_site_user(site)
            self._hint(f"{site.name} is already registered as {site.origin}.")
        else:
            raise CommandError(
                f"{name} is already registered as {site.origin}. Its DSN: manage.py sso_site dsn {name}"
            )
        self._print_dsn(name)

    def _list(self, options: dict[str, Any]) -> None:
        for site in Site.objects.prefetch_related("roles"):
            state = "" if site.is_active else "  inactive"
            state += "  rotation in progress" if site.previous_generation is not None else ""
            roles = ",".join(role.name for role in site.roles.all()) or "-"
            self.stdout.write(f"{site.name}\t{site.origin}\t{site.access}\troles: {roles}{state}")

    def _dsn(self, options: dict[str, Any]) -> None:
        self._print_dsn(find_site(options["name"]).name)

    def _rotate(self, options: dict[str, Any]) -> None:
        site = find_site(options["name"])
        if options["finish"]:
            services.finish_rotation(site)
            self._hint(f"The old secret of {site.name} is no longer accepted. The DSN without it:")
        else:
            services.begin_rotation(site)
            self._hint(
                f"{site.name} has a new secret; the old one is still accepted. Set its SSO_DSN to the "
                f"following, restart it, then run: manage.py sso_site rotate {site.name} --finish"
            )
        self._print_dsn(site.name)

    def _acl(self, options: dict[str, Any]) -> None:
        if not options["check"]:
            self._hint(f"{acl.set_all_site_users()} Redis users are set.")
            return
        problems = {site.name: rights.check(site) for site in Site.objects.all()}
        for name, found in problems.items():
            self.stdout.write(f"{name}\t{'; '.join(found) or 'ok'}")
        if any(problems.values()):
            raise CommandError("Some Redis users are not as they should be. Run: manage.py sso_site acl")

    def _remove(self, options: dict[str, Any]) -> None:
        site = find_site(options["name"])
        services.remove(site)
        self._hint(
            f"{site.name} is removed. No one has access to it any more; its own database is not changed."
        )

    def _print_dsn(self, name: str) -> None:
        self.stdout.write(str(dsn_for(name)))

    def _hint(self, text: str) -> None:
        self.stderr.write(text)


def find_site(name: str) -> Site:
    """Return a registered site. Raises ``CommandError``."""
    site = Site.objects.filter(name=name).first()
    if site is None:
        known = ", ".join(Site.objects.order_by("name").values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no site named {name!r}. Registered: {known}.")
    return site


def parse_role(text: str) -> tuple[str, str]:
    """Parse ``NAME[:LABEL]``."""
    name, _, label = text.partition(":")
    return name, label or name.replace("_", " ").capitalize()
