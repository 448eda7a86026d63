"""``manage.py sso_sync``: brings this site's users up to date with the portal."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from types import FrameType
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseFailure

from sso_common import sync
from sso_common.exceptions import SSOError
from sso_common.follow import explain, follow_feed
from sso_common.models import FeedCursor
from sso_common.users import UpsertResult

KINDS: Final = {
    "missing": "missing at this site",
    "behind": "older than the version that this site has read",
    "ahead": "newer than at the portal (was the portal restored from a backup?)",
    "differs": "changed at this site:",
    "extra": "active at this site, but not in the feed",
}


class Command(BaseCommand):
    """Apply the portal's feed to this site's users."""

    help = (
        "Bring this site's users up to date with the portal, once or (with --follow) continuously. Run "
        "--follow as a service. You can stop or kill it at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--follow", action="store_true", help="keep running and apply changes as they come")
        mode.add_argument(
            "--full",
            action="store_true",
            help=(
                "read the whole feed, undo local changes, deactivate users missing from it, and remove "
                "passwords of this site from users who sign in at the portal"
            ),
        )
        mode.add_argument(
            "--verify",
            action="store_true",
            help="compare all users with the portal and write nothing; exit status 1 if they differ",
        )
        parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        self.is_json: bool = options["json"]
        log = ProgressLog(self.say, pause=1 if self.stdout.isatty() else 10)
        self.progress: sync.Progress = sync.ignore_progress if self.is_json else log
        modes = {"follow": self.follow, "full": self.full, "verify": self.verify}
        run = next((modes[name] for name in modes if options[name]), self.once)
        try:
            with interrupted_by_sigterm() as self.received:
                run()
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped. What was applied stays, and the next run continues from there.", returncode=130
            ) from None
        except (SSOError, DatabaseFailure) as error:
            raise CommandError(explain(error), returncode=2) from error

    def once(self) -> None:
        self.report_upsert(sync.sync_once(self.progress) + sync.sync_mapping(self.progress))

    def full(self) -> None:
        result = sync.sync_full(self.progress)
        text = f" Deactivated {result.deactivated} users missing from the feed." if result.deactivated else ""
        if result.passwords_removed:
            text += f" Removed the passwords that {result.passwords_removed} linked users had at this site."
        if result.rewound:
            text += " The portal was restored from a backup; this site now has its data."
        self.report_upsert(
            result.upsert,
            text,
            missing_deactivated=result.deactivated,
            passwords_removed=result.passwords_removed,
            rewound=result.rewound,
        )

    def report_upsert(self, result: UpsertResult, text: str = "", **values: int) -> None:
        self.report(counts(result) | values, sentence(result) + text)
        if count := len(result.failed):
            raise CommandError(
                f"{count} users could not be written (see the log). The others are up to date."
            )

    def verify(self) -> None:
        report = sync.verify(self.progress)
        values = {
            "ok": not report.drift,
            "checked": report.checked,
            "pending": report.pending,
            "drift": [asdict(each) for each in report.drift],
        }
        lines = [
            f"{each.sub}  {KINDS[each.kind]}  {', '.join(each.fields)}".rstrip() for each in report.drift
        ]
        total = (
            f"Compared {report.checked} users: {len(report.drift) or 'none'} differ, "
            f"{report.pending or 'none'} have changes that this site has not read yet."
        )
        self.report(values, "\n".join([*lines, total]))
        if report.drift:
            raise CommandError(
                "This site and the portal differ. Run `manage.py sso_sync --full` to repair it."
            )

    def follow(self) -> None:
        self.say(f"Following the portal's feed from version {FeedCursor.load().position}.")
        with contextlib.suppress(KeyboardInterrupt):
            for result in follow_feed(lambda: bool(self.received)):
                self.say(f"{sentence(result)} [{FeedCursor.load().position}]")
        self.say("Stopped.")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        # A log file or a pipe gets each line at once.
        self.stdout.flush()

    def report(self, values: dict[str, Any], text: str) -> None:
        self.say(json.dumps(values, default=str) if self.is_json else text)


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[list[int]]:
    """Raise ``KeyboardInterrupt`` on SIGTERM as on Ctrl-C, also where a shell ignores SIGINT. Yields a
    list to which each signal is added."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class ProgressLog:
    """Prints a line at most every ``pause`` seconds."""

    def __init__(self, say: Callable[[str], None], pause: int) -> None:
        self.say = say
        self.pause = pause
        self.last = time.monotonic()

    def __call__(self, done: int, position: int, head: int) -> None:
        if time.monotonic() - self.last >= self.pause:
            self.last = time.monotonic()
            self.say(f"{done} users so far (version {position} of {head})")


def counts(result: UpsertResult) -> dict[str, Any]:
    """Return a result for JSON. Errors are reduced to their type: they may quote personal data."""
    failed = [{"sub": each.sub, "error": type(each.error).__name__} for each in result.failed]
    position = FeedCursor.load().position
    return asdict(replace(result, failed=())) | {"failed": failed, "position": position}


def sentence(result: UpsertResult) -> str:
    """Return a result for people."""
    parts = {
        "created %s": result.created,
        "updated %s": result.updated,
        "deleted %s": result.deleted,
        "%s got another username or address because theirs was taken": len(result.conflicts),
        "%s could not be written": len(result.failed),
    }
    said = [text % count for text, count in parts.items() if count]
    return f"{'; '.join(said).capitalize()}." if said else "Up to date."
