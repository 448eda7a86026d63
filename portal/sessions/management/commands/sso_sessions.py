"""``manage.py sso_sessions``: list, end, re-sign and delete sessions."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts.people import find_person
from portal.accounts.services import sign_out_everywhere
from portal.audit import services as audit
from portal.sessions import ending, following, listing, resigning
from portal.sessions.models import EndReason, Session
from sso_common.exceptions import StoreUnavailable


class Command(BaseCommand):
    """See the module's docstring."""

    help = "List, revoke, reap, re-sign and prune sessions."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="list a person's sessions")
        listing.add_argument("person", help="username, email address or subject")
        revoke = actions.add_parser("revoke", help="end one session, or all sessions of a person")
        target = revoke.add_mutually_exclusive_group(required=True)
        target.add_argument("--sid", help="the session, as in the list")
        target.add_argument(
            "--person",
            help="username, email address or subject; also ends sessions that a failover may bring back",
        )
        actions.add_parser("reap", help="delete ended sessions that an older Redis has brought back")
        actions.add_parser("resign", help="re-sign all live sessions with the key that signs now")
        prune = actions.add_parser(
            "prune", help="delete sessions that expired long ago; this also happens daily"
        )
        prune.add_argument("--days", type=int, default=following.KEPT_DAYS)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except StoreUnavailable as error:
            raise CommandError(f"Redis does not answer ({error.detail}).") from error

    def _list(self, options: dict[str, Any]) -> None:
        for each in listing.live_sessions(find_person(options["person"])):
            row = each.row
            times = f"signed in {row.auth_time:%Y-%m-%d %H:%M}\tlast used {each.last_used:%Y-%m-%d %H:%M}"
            self.stdout.write(f"{row.sid}\t{times}\t{row.device}\t{row.ip or '-'}")

    def _revoke(self, options: dict[str, Any]) -> None:
        if options["sid"]:
            row = Session.objects.filter(sid=options["sid"]).first()
            if row is None:
                raise CommandError(f"There is no session named {options['sid']!r}.")
            ending.end_session(row.sid, EndReason.REVOKED)
            audit.record("session_ended", sub=row.user_id, sid=row.sid, detail="by an operator")
        else:
            user = find_person(options["person"])
            sign_out_everywhere(user)
            following.catch_up()
            audit.record("session_ended", sub=user.pk, detail="all sessions, by an operator")
        self.stdout.write("Ended.")

    def _reap(self, options: dict[str, Any]) -> None:
        following.catch_up()
        self.stdout.write(f"{ending.reap()} ended sessions were deleted from Redis.")

    def _resign(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{resigning.resign_all()} sessions were re-signed.")

    def _prune(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{following.prune(options['days'])} sessions were deleted.")
