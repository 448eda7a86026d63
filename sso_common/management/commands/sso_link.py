"""``manage.py sso_link``: links the users that a site already has to their subjects at the portal."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from sso_common import sync
from sso_common.exceptions import SSOError
from sso_common.snapshot import UserSnapshot
from sso_common.users import Candidate, find_candidates, link_user

STATUSES: Final = {
    "link": "can be linked",
    "linked": "linked",
    "failed": "could not be linked",
    "ambiguous": "several users of this site have this email address",
    "unverified": "the address is not verified at the portal",
    "taken": "the subject already has another user at this site",
    "privileged": "staff or superuser: not linked without --include-staff",
    "inactive": "inactive at this site; linking would give them access again",
}


class Command(BaseCommand):
    """Link local users by verified email address."""

    help = (
        "Link this site's existing users to the users of the portal with the same verified email address. "
        "Shows what it would do; --apply does it. Run it before the first sso_sync, which creates new users "
        "for subjects that are not linked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help="link the users")
        parser.add_argument(
            "--include-staff",
            nargs="*",
            metavar="USERNAME",
            help=(
                "also link staff and superusers: those named, or all of them. The owner of the mailbox gets "
                "their privileges at this site; is_staff only with a role that SSO_STAFF_ROLES names"
            ),
        )
        parser.add_argument(
            "--keep-passwords",
            action="store_true",
            help=(
                "keep local passwords, for superusers in an emergency, or where SSO_LOCAL_LOGIN is set "
                "(otherwise `sso_sync --full` removes them); by default, only the portal's password works "
                "afterwards"
            ),
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = list(find_candidates(read_feed(), options["include_staff"]))
        except SSOError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["apply"]:
            found = [
                apply(each, options["keep_passwords"]) if each.status == "link" else each for each in found
            ]
        if options["json"]:
            rows = [row(each) for each in found]
            self.stdout.write(json.dumps({"applied": options["apply"], "users": rows}))
        else:
            self.show(found)
        if any(each.status == "failed" for each in found):
            raise CommandError("Some users could not be linked.")

    def show(self, found: list[Candidate]) -> None:
        for each in found:
            self.stdout.write(f"{each.user.get_username()}  {each.snapshot.sub}  {STATUSES[each.status]}")
        counts = Counter(STATUSES[each.status] for each in found)
        summary = "; ".join(f"{text}: {count}" for text, count in sorted(counts.items()))
        self.stdout.write(summary or "No users to link.")
        if any(each.status == "link" for each in found):
            self.stdout.write("Nothing was changed. Run `manage.py sso_link --apply` to link them.")


def read_feed() -> Iterable[UserSnapshot]:
    latest: dict[uuid.UUID, UserSnapshot] = {}
    for page in sync.pages(0):
        latest |= {snapshot.sub: snapshot for snapshot in page.users}
    return [snapshot for snapshot in latest.values() if not snapshot.deleted]


def apply(candidate: Candidate, keep_password: bool) -> Candidate:
    try:
        link_user(candidate.user, candidate.snapshot, keep_password=keep_password)
    except (ValidationError, DatabaseError, ValueError):
        return replace(candidate, status="failed")
    return replace(candidate, status="linked")


def row(candidate: Candidate) -> dict[str, str]:
    """Return a candidate for JSON."""
    return {
        "user": str(candidate.user.pk),
        "username": candidate.user.get_username(),
        "sub": str(candidate.snapshot.sub),
        "status": candidate.status,
    }
