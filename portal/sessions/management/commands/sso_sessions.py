"""``manage.py sso_sessions``: list and end people's sessions; undo what an old Redis brought back."""

from __future__ import annotations

import argparse
import contextlib
import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from portal import audit
from portal.accounts.services import sign_out_everywhere
from portal.sessions import services
from portal.sessions.models import EndReason, Session
from sso_common.exceptions import StoreUnavailable


class Command(BaseCommand):
    """See the module's docstring."""

    help = "List, revoke, reap, re-sign and prune sessions."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="show a person's sessions")
        listing.add_argument("person", help="username, e-mail address or subject")
        revoke = actions.add_parser("revoke", help="end one session, or all of a person's")
        target = revoke.add_mutually_exclusive_group(required=True)
        target.add_argument("--sid", help="one session")
        target.add_argument("--person", help="all sessions of a person, and those a failover may bring back")
        actions.add_parser("reap", help="delete ended sessions that an older Redis has brought back")
        actions.add_parser("resign", help="sign all live sessions anew, with the key that is promoted now")
        prune = actions.add_parser("prune", help="forget sessions that expired long ago, as happens daily")
        prune.add_argument("--days", type=int, default=services.KEPT_DAYS)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except StoreUnavailable as error:
            raise CommandError(f"Redis does not answer ({error.detail}).") from error

    def _list(self, options: dict[str, Any]) -> None:
        for each in services.live_sessions(_find(options["person"])):
            row = each.row
            times = f"signed in {row.auth_time:%Y-%m-%d %H:%M}\tlast used {each.last_used:%Y-%m-%d %H:%M}"
            self.stdout.write(f"{row.sid}\t{times}\t{row.device}\t{row.ip or '-'}")

    def _revoke(self, options: dict[str, Any]) -> None:
        if options["sid"]:
            row = Session.objects.filter(sid=options["sid"]).first()
            if row is None:
                raise CommandError(f"There is no session named {options['sid']!r}.")
            services.end_session(row.sid, EndReason.REVOKED)
            audit.record("session_ended", sub=row.user_id, sid=row.sid, detail="by an operator")
        else:
            user = _find(options["person"])
            sign_out_everywhere(user)
            services.catch_up()
            audit.record("session_ended", sub=user.pk, detail="all sessions, by an operator")
        self.stdout.write("Ended.")

    def _reap(self, options: dict[str, Any]) -> None:
        services.catch_up()
        self.stdout.write(f"{services.reap()} ended sessions are gone from Redis.")

    def _resign(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{services.resign_all()} sessions are signed anew.")

    def _prune(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{services.prune(options['days'])} sessions are forgotten.")


def _find(text: str) -> Any:
    wanted = Q(username__iexact=text) | Q(email__iexact=text)
    with contextlib.suppress(ValueError):
        wanted |= Q(sub=uuid.UUID(text))
    found = list(get_user_model().objects.filter(wanted)[:2])
    if len(found) != 1:
        raise CommandError(f"There is {'more than one' if found else 'no'} person {text!r}.")
    return found[0]
