"""``manage.py sso_link``: ties the users that a site already has to their subjects at the portal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _

from sso_common import sync
from sso_common.exceptions import SSOError
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot
from sso_common.users import link_user


@dataclass(frozen=True, slots=True)
class Candidate:
    """A local user, the subject with the same e-mail address, and what may be done about it."""

    user: Any
    #: "link", or why not: see ``_statuses``.
    status: str
    snapshot: UserSnapshot | None = None


class Command(BaseCommand):
    """Link local users by verified e-mail address."""

    help = _(
        "Tie this site's existing users to the people at the portal who have the same, verified e-mail "
        "address. Shows what it would do; --apply does it. Run it before the first sso_sync, which makes new "
        "users for those who are not linked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help=_("do it"))
        parser.add_argument(
            "--include-staff",
            nargs="*",
            metavar="USERNAME",
            help=_(
                "also link staff and superusers: the ones named, or all. Who controls the mailbox "
                "at the portal then has their privileges here, is_staff only through a role that "
                "SSO_STAFF_ROLES names"
            ),
        )
        parser.add_argument(
            "--keep-passwords",
            action="store_true",
            help=_("leave local passwords usable; by default the portal's is the only one from then on"),
        )
        parser.add_argument("--json", action="store_true", help=_("print the result as JSON"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = list(candidates(_read_feed(), options["include_staff"]))
        except SSOError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["apply"]:
            found = [_apply(each, keep_password=options["keep_passwords"]) for each in found]
        if options["json"]:
            self.stdout.write(
                json.dumps({"applied": options["apply"], "users": [_row(each) for each in found]})
            )
        else:
            self._show(found, applied=options["apply"])
        if any(each.status == "failed" for each in found):
            raise CommandError(_("Some users could not be linked."))

    def _show(self, found: list[Candidate], *, applied: bool) -> None:
        statuses = _statuses()
        for each in found:
            subject = each.snapshot.sub if each.snapshot else "-"
            self.stdout.write(f"{each.user.get_username()}  {subject}  {statuses[each.status]}")
        counts = Counter(each.status for each in found)
        summary = "; ".join(f"{statuses[status]}: {count}" for status, count in sorted(counts.items()))
        self.stdout.write(summary or _("There is nobody to link."))
        if not applied and counts["link"]:
            self.stdout.write(_("Nothing was changed. `manage.py sso_link --apply` does it."))


def _statuses() -> dict[str, str]:
    return {
        "link": _("can be linked"),
        "linked": _("linked now"),
        "failed": _("could not be linked"),
        "ambiguous": _("several users here have this e-mail address"),
        "unverified": _("the address is not verified at the portal"),
        "taken": _("the subject has another user here already"),
        "privileged": _("staff or superuser: not linked unless --include-staff says so"),
        "inactive": _("not active here; linking would let them in"),
    }


def candidates(
    snapshots: Iterable[UserSnapshot], include_staff: list[str] | None = None
) -> Iterable[Candidate]:
    """Each local user without an account whose e-mail address somebody at the portal has.

    ``include_staff``: usernames, an empty list for all, None for nobody.
    """
    model: Any = get_user_model()
    email_field = model.get_email_field_name()
    portal = {each.email.lower(): each for each in snapshots if each.email}
    taken = set(Account._default_manager.values_list("sub", flat=True))
    local = model._default_manager.filter(sso_account=None).exclude(**{email_field: ""}).order_by("pk")
    users = [user for user in local.iterator(chunk_size=2000) if getattr(user, email_field)]
    addresses = Counter(getattr(user, email_field).lower() for user in users)
    for user in users:
        address = getattr(user, email_field).lower()
        snapshot = portal.get(address)
        if snapshot is None:
            continue
        if addresses[address] > 1:
            yield Candidate(user, "ambiguous", snapshot)
        elif not snapshot.email_verified:
            yield Candidate(user, "unverified", snapshot)
        elif snapshot.sub in taken:
            yield Candidate(user, "taken", snapshot)
        elif _is_privileged(user) and not _is_named(user, include_staff):
            yield Candidate(user, "privileged", snapshot)
        elif not user.is_active:
            yield Candidate(user, "inactive", snapshot)
        else:
            yield Candidate(user, "link", snapshot)


def _is_privileged(user: Any) -> bool:
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def _is_named(user: Any, include_staff: list[str] | None) -> bool:
    return include_staff is not None and (not include_staff or user.get_username() in include_staff)


def _read_feed() -> Iterable[UserSnapshot]:
    latest: dict[Any, UserSnapshot] = {}
    for page in sync.pages(0):
        latest |= {snapshot.sub: snapshot for snapshot in page.users}
    return [snapshot for snapshot in latest.values() if not snapshot.deleted]


def _apply(candidate: Candidate, *, keep_password: bool) -> Candidate:
    if candidate.status != "link" or candidate.snapshot is None:
        return candidate
    try:
        link_user(candidate.user, candidate.snapshot, keep_password=keep_password)
    except (ValidationError, DatabaseError, ValueError):
        return Candidate(candidate.user, "failed", candidate.snapshot)
    return Candidate(candidate.user, "linked", candidate.snapshot)


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "user": str(candidate.user.pk),
        "username": candidate.user.get_username(),
        "sub": str(candidate.snapshot.sub) if candidate.snapshot else None,
        "status": candidate.status,
    }
