"""``manage.py sso_role``: give people roles at sites, and take them away."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from portal.accounts.people import find_person
from portal.registry import services
from portal.registry.models import Grant, Role

PERSON = "username, email address or subject"


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Grant, withdraw and list the roles of people. Sites see a change at the next request."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for name, text in (("grant", "give a person roles"), ("withdraw", "take roles from a person")):
            action = actions.add_parser(name, help=text)
            action.add_argument("person", nargs="?", help=PERSON)
            action.add_argument("roles", nargs="*", metavar="SITE:ROLE")
            action.add_argument(
                "--file", help="a CSV file with the columns person,role (SITE:ROLE): all lines, or none"
            )
        show = actions.add_parser("list", help="list the roles of a person, or the holders of a site's roles")
        show.add_argument("person", nargs="?", help=PERSON)
        show.add_argument("--site")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            self.show(options["person"], options["site"])
            return
        pairs = [(options["person"], role) for role in options["roles"]]
        if bool(pairs) == bool(options["file"]) or (options["person"] and not pairs):
            raise CommandError("Name a person and at least one SITE:ROLE, or use --file.")
        wanted = find_all(enumerate(pairs, 1)) if pairs else find_all(read_file(options["file"]))
        write = services.grant_roles if options["action"] == "grant" else services.withdraw_roles
        with transaction.atomic():
            count = write(wanted)
        word = "granted" if options["action"] == "grant" else "withdrawn"
        self.stdout.write(f"{count} roles {word}; {len(wanted) - count} were so already.")

    def show(self, person: str | None, site: str | None) -> None:
        grants = Grant.objects.select_related("user", "role__site").order_by("user__username", "role")
        if person:
            grants = grants.filter(user=find_person(person))
        if site:
            grants = grants.filter(role__site__name=site)
        for grant in grants.iterator(chunk_size=2000):
            user, role = grant.user, grant.role
            self.stdout.write(f"{user.username}\t{user.pk}\t{role.site.name}:{role.name}")


def read_file(name: str) -> Iterable[tuple[int, tuple[str, str]]]:
    try:
        with Path(name).open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if not {"person", "role"} <= set(rows.fieldnames or ()):
                raise CommandError("The first line must name the columns: person,role")
            return [(rows.line_num, (row["person"] or "", row["role"] or "")) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from error


def find_all(pairs: Iterable[tuple[int, tuple[str, str]]]) -> list[tuple[Any, Role]]:
    """Return users and roles. Raises ``CommandError`` with the numbers of all lines that name none."""
    roles = {f"{role.site.name}:{role.name}": role for role in Role.objects.select_related("site")}
    found, problems = [], []
    for line, (person, role) in pairs:
        try:
            if role not in roles:
                known = ", ".join(sorted(roles)) or "none"
                raise CommandError(f"There is no role {role!r}. Known: {known}.")
            found.append((find_person(person), roles[role]))
        except CommandError as error:
            problems.append(f"{line}: {error}")
    if problems:
        raise CommandError("\n".join([*problems, "Nothing was changed."]))
    return found
