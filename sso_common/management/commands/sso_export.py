"""``manage.py sso_export``: writes this site's own users to a file, for ``import_accounts`` at the portal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sso_common import conf, exported
from sso_common.users.exporting import export_users


class Command(BaseCommand):
    """Export users, with their password hashes."""

    help = (
        "Write the users of this site who are not linked to the portal to a new file, one JSON object each. "
        "The file contains names, addresses and password hashes: only its owner can read it (mode 0600). "
        "Copy it to the portal over an encrypted connection, and delete both copies after the import."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="must not exist yet")
        parser.add_argument(
            "--without-passwords",
            action="store_true",
            help="leave out the hashes; all users need a reset",
        )
        parser.add_argument(
            "--addresses-are-verified",
            action="store_true",
            help=(
                "this site has confirmed every address by email. Without this, only addresses count that "
                "django-allauth at this site knows as verified. A wrong claim gives accounts to strangers"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path, count = Path(options["file"]), 0
        users = export_users(
            passwords=not options["without_passwords"], all_verified=options["addresses_are_verified"]
        )
        try:
            # Created with its mode: at no time can others read the hashes.
            file = os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
            )
        except OSError as error:
            raise CommandError(f"{path} cannot be created: {error.strerror}") from error
        with file:
            file.write(exported.header(conf.dsn().site) + "\n")
            for user in users:
                file.write(user.to_line() + "\n")
                count += 1
        self.stderr.write(
            f"Wrote {count} users to {path}. Keep the file secret, and delete it after the import. "
            "At the portal, run: manage.py import_accounts FILE"
        )
