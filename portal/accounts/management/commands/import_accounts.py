"""``manage.py import_accounts``: import the users of a site, which ``sso_export`` wrote there."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, router, transaction

from portal.accounts import versions
from portal.accounts.announcements import users_changed
from portal.accounts.importing import CONFLICTS, NOTES, Import
from portal.accounts.models import ImportedAccount, User
from portal.audit import services as audit
from sso_common.exceptions import MalformedSnapshot
from sso_common.exported import parse_header


class Command(BaseCommand):
    """See the module's docstring."""

    help = (
        "Import the users of a site from the file that `manage.py sso_export` wrote there, with their names, "
        "addresses and password hashes. Shows what it would do; --apply does it, completely or not at all. "
        "Rights are not imported. Sign-ins go on in the meantime; other changes of accounts wait."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--apply", action="store_true", help="import the users")
        parser.add_argument(
            "--rename", action="store_true", help="give users whose username is taken another one"
        )
        parser.add_argument(
            "--skip-conflicts", action="store_true", help="import the others if there are conflicts"
        )
        parser.add_argument(
            "--pairs",
            metavar="FILE",
            help="write a CSV file for `manage.py sso_link --pairs` at the site: key there, subject",
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        self.is_json: bool = options["json"]
        try:
            with Path(options["file"]).open(encoding="utf-8") as file:
                done = self.run(file, options)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        except MalformedSnapshot as error:
            raise CommandError(
                f"Line 1 of {options['file']} is not that of an export ({error.detail}). Write the file with "
                "`manage.py sso_export FILE` at the site."
            ) from error
        conflicts = sum(done.counts[kind] for kind in CONFLICTS)
        is_applied = options["apply"] and (not conflicts or options["skip_conflicts"])
        if is_applied and options["pairs"]:
            write_pairs(done.site, Path(options["pairs"]))
        self.show(done, conflicts, is_applied)
        if conflicts and not options["skip_conflicts"]:
            raise CommandError(
                f"{conflicts} lines have conflicts, so nothing was imported. Resolve them, or use --rename "
                "(usernames) or --skip-conflicts."
            )

    def run(self, file: TextIO, options: dict[str, Any]) -> Import:
        using = router.db_for_write(User)
        done = Import(parse_header(file.readline()), using, self.report, rename=options["rename"])
        try:
            with transaction.atomic(using=using):
                versions.lock(using)
                done.run((number, line) for number, line in enumerate(file, start=2) if line.strip())
                conflicts = sum(done.counts[kind] for kind in CONFLICTS)
                if not options["apply"] or (conflicts and not options["skip_conflicts"]):
                    transaction.set_rollback(True, using=using)
                elif done.counts["created"]:
                    detail = f"{done.counts['created']} created, {done.counts['merged']} merged"
                    audit.record("imported", site=done.site, detail=detail)
                    # Nobody of them has a session yet, so the sites have to be woken, and no more.
                    transaction.on_commit(lambda: users_changed.send_robust(None, subs=(), deleted=()), using)
        except IntegrityError as error:
            raise CommandError(f"The database refused a line, so nothing was imported: {error}") from error
        return done

    def report(self, line: int, kind: str, detail: str) -> None:
        if not self.is_json:
            self.stdout.write(f"line {line}  {detail}  {(CONFLICTS | NOTES)[kind]}")

    def show(self, done: Import, conflicts: int, is_applied: bool) -> None:
        if self.is_json:
            self.stdout.write(json.dumps({"applied": is_applied, "site": done.site, **done.counts}))
            return
        counts = {kind: done.counts[kind] for kind in ("created", "known", *NOTES)} | {"conflicts": conflicts}
        self.stdout.write("; ".join(f"{name}: {count}" for name, count in counts.items()))
        if not is_applied:
            self.stdout.write("Nothing was changed. Run the command with --apply to import the users.")


def write_pairs(site: str, path: Path) -> None:
    """Write the keys and subjects of all users of a site that were ever imported."""
    rows = ImportedAccount.objects.filter(site=site).order_by("pk").values_list("key", "sub")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "sub"])
        writer.writerows(rows.iterator(chunk_size=2000))
