"""``manage.py sso_link``: links the users that a site already has to their subjects at the portal."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, router, transaction

from sso_common import sync
from sso_common.exceptions import SSOError
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot
from sso_common.users import Candidate, find_candidates, link_user
from sso_common.users.linking import unlink_user
from sso_common.users.merging import Merge, merge_users
from sso_common.users.pairs import Pair, find_users, link_pairs, read_pairs, status_of

STATUSES: Final = {
    "link": "can be linked",
    "linked": "linked",
    "failed": "could not be linked",
    "same": "linked to this subject already",
    "ambiguous": "several users of this site have this email address: merge them, or name one with --user",
    "unverified": "the address is not verified at the portal",
    "taken": "the subject already has another user at this site: merge the two, or unlink the other one",
    "other": "linked to another subject: unlink the user first",
    "privileged": "staff or superuser: not linked without --include-staff",
    "inactive": "inactive at this site; linking would give them access again",
    "no-user": "this site has no such user",
    "no-subject": "the portal has no such subject, or this site may not see it",
}
UNLINKED: Final = (
    "{name} is no longer linked to {sub} and cannot sign in at the portal. What roles gave is withdrawn; the "
    "data stays. When the person visits this site again, they get a new user. To prevent that, link "
    "another user to the subject before: manage.py sso_link --user USER --subject {sub} --apply"
)


class Command(BaseCommand):
    """Link local users: by verified email address, or as the operator says. Unlink and merge them."""

    help = (
        "Link this site's existing users to the users of the portal with the same verified email address, or "
        "as --user and --subject, or --pairs, say. Also unlinks a user, and merges two users of one person. "
        "Shows what it would do; --apply does it. Run it before the first sso_sync, which creates new users "
        "for subjects that are not linked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help="do it, and do not only show it")
        what = parser.add_mutually_exclusive_group()
        user = "a username, or id: and the primary key"
        what.add_argument("--user", help=f"link this user to --subject: {user}")
        what.add_argument(
            "--pairs", metavar="FILE", help="link the pairs in a CSV file: id,sub or username,sub"
        )
        what.add_argument("--unlink", metavar="USER", help=f"remove the link of this user: {user}")
        what.add_argument("--merge", metavar="USER", help=f"merge this user into the user of --into: {user}")
        parser.add_argument("--subject", type=uuid.UUID, help="the subject for --user or --merge")
        parser.add_argument("--into", metavar="USER", help="the user who remains after --merge")
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
        modes = {"user": self.by_hand, "pairs": self.by_file, "unlink": self.unlink, "merge": self.merge}
        run = next((modes[name] for name in modes if options[name] is not None), self.by_address)
        if options["into"] and not options["merge"]:
            raise CommandError("--into needs --merge.")
        try:
            run(options)
        except SSOError as error:
            raise CommandError(str(error), returncode=2) from error
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error

    # --- linking ------------------------------------------------------------------------------

    def by_address(self, options: dict[str, Any]) -> None:
        found = list(find_candidates(read_feed(), options["include_staff"]))
        if options["apply"]:
            found = [
                apply(each, options["keep_passwords"]) if each.status == "link" else each for each in found
            ]
        self.show([row(each) for each in found], options)

    def by_hand(self, options: dict[str, Any]) -> None:
        if options["subject"] is None:
            raise CommandError("--user needs --subject.")
        user = find_user(options["user"])
        self.link("id", [Pair(0, str(user.pk), options["subject"])], options)

    def by_file(self, options: dict[str, Any]) -> None:
        try:
            with Path(options["pairs"]).open(encoding="utf-8", newline="") as file:
                key, pairs = read_pairs(file)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['pairs']} cannot be read: {error}") from error
        self.link(key, pairs, options)

    def link(self, key: str, pairs: list[Pair], options: dict[str, Any]) -> None:
        done = link_pairs(
            key, pairs, all_users(), options["include_staff"], options["apply"], options["keep_passwords"]
        )
        rows = [
            {"line": each.line, "user": each.user, "sub": str(each.sub), "status": each.status}
            for each in done
        ]
        self.show(sorted(rows, key=lambda each: each["line"]), options)

    def show(self, rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
        """Print a row for each user, how many there are, and what comes next."""
        if options["json"]:
            self.stdout.write(json.dumps({"applied": options["apply"], "users": rows}))
        else:
            for each in rows:
                line = f"line {each['line']}  " if each.get("line") else ""
                name = each.get("username", each["user"])
                self.stdout.write(f"{line}{name}  {each['sub']}  {STATUSES[each['status']]}")
            counts = Counter(STATUSES[each["status"]] for each in rows)
            summary = "; ".join(f"{text}: {count}" for text, count in sorted(counts.items()))
            self.stdout.write(summary or "No users to link.")
            if any(each["status"] == "link" for each in rows):
                self.stdout.write("Nothing was changed. Add --apply to the same command to link them.")
        if any(each["status"] == "failed" for each in rows):
            raise CommandError("Some users could not be linked.")

    # --- unlinking and merging ----------------------------------------------------------------

    def unlink(self, options: dict[str, Any]) -> None:
        user = find_user(options["unlink"])
        with transaction.atomic(using=router.db_for_write(Account)):
            text = UNLINKED.format(name=user.get_username(), sub=unlink_user(user))
            if not options["apply"]:
                transaction.set_rollback(True, using=router.db_for_write(Account))
        self.stdout.write(text if options["apply"] else f"With --apply: {text}")

    def merge(self, options: dict[str, Any]) -> None:
        if options["into"] is None:
            raise CommandError("--merge needs --into.")
        source, target = find_user(options["merge"]), find_user(options["into"])
        accounts = Account._default_manager.filter(user__in=[source.pk, target.pk])
        sub = options["subject"] or accounts.values_list("sub", flat=True).first()
        snapshot = None if sub is None else find_snapshot(sub)
        is_linked = accounts.filter(user=target.pk).exists()
        if snapshot is not None and not is_linked:
            status = status_of(target, snapshot.sub, {}, set(), options["include_staff"])
            if status != "link":
                raise CommandError(f"{target.get_username()}: {STATUSES[status]}")
        merge = merge_users(
            source, target, snapshot, apply=options["apply"], keep_password=options["keep_passwords"]
        )
        self.report(merge, options)

    def report(self, merge: Merge, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(
                json.dumps({"applied": options["apply"] and not merge.conflicts, **asdict(merge)})
            )
        else:
            lines = [f"moves {count} rows of {name}" for name, count in merge.moved.items()]
            lines += [f"both have {count} rows of {name}" for name, count in merge.shared.items()]
            lines += [f"copies {name}" for name in merge.copied]
            lines += [f"conflict: {text}" for text in merge.conflicts]
            self.stdout.write("\n".join([*lines, f"deletes the user {options['merge']}"]))
            if not options["apply"]:
                self.stdout.write("Nothing was changed. Run the command with --apply to merge the users.")
        if merge.conflicts:
            raise CommandError(
                f"{len(merge.conflicts)} conflicts, so nothing was changed. Change or delete one of the two "
                "rows or values of each, then run the command again."
            )


def find_user(text: str) -> Any:
    """Return the user with this username, or with the primary key after ``id:``. Raises ``CommandError``."""
    key, value = ("id", text.removeprefix("id:")) if text.startswith("id:") else ("username", text)
    users = list(find_users(key, [value]).values())
    if not users:
        raise CommandError(f"This site has no user {text!r}.")
    return users[0]


def find_snapshot(sub: uuid.UUID) -> UserSnapshot:
    """Return the newest snapshot of a subject. Raises ``CommandError``."""
    found = [snapshot for snapshot in all_users() if snapshot.sub == sub]
    if not found or found[-1].deleted:
        raise CommandError(f"{sub}: {STATUSES['no-subject']}")
    return found[-1]


def all_users() -> Iterator[UserSnapshot]:
    """Yield the feed. A user who changes in the meantime appears twice."""
    for page in sync.pages(0):
        yield from page.users


def read_feed() -> Iterable[UserSnapshot]:
    latest = {snapshot.sub: snapshot for snapshot in all_users()}
    return [snapshot for snapshot in latest.values() if not snapshot.deleted]


def apply(candidate: Candidate, keep_password: bool) -> Candidate:
    try:
        link_user(candidate.user, candidate.snapshot, keep_password=keep_password)
    except (ValidationError, DatabaseError, ValueError):
        return replace(candidate, status="failed")
    return replace(candidate, status="linked")


def row(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate for JSON."""
    return {
        "user": str(candidate.user.pk),
        "username": candidate.user.get_username(),
        "sub": str(candidate.snapshot.sub),
        "status": candidate.status,
    }
