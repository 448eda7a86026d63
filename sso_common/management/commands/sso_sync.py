"""``manage.py sso_sync``: brings this site's users up to date with the portal."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.utils.translation import gettext as _

from sso_common import conf, store, sync
from sso_common.exceptions import SSOError, StoreUnavailable
from sso_common.models import FeedCursor
from sso_common.users import UpsertResult

logger = logging.getLogger("sso_common.sync")

#: Seconds: the longest pause while the portal or the database does not answer.
MAX_PAUSE: Final = 30.0
#: How far back the first wait looks for events: more than two machines' clocks may differ.
_LOOK_BACK: Final = 60.0


class Command(BaseCommand):
    """Apply the portal's feed to this site's users."""

    help = _(
        "Bring this site's users up to date with the portal: once, or with --follow for as long as it runs. "
        "Run the latter as a service. It may be stopped, or killed, at any moment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument(
            "--follow", action="store_true", help=_("keep running, and apply changes as they come")
        )
        mode.add_argument(
            "--full",
            action="store_true",
            help=_("read everything anew, undo local changes, deactivate users whom the portal has no more"),
        )
        mode.add_argument(
            "--verify",
            action="store_true",
            help=_("write nothing; compare every user with the portal. Exit status 1 where they differ"),
        )
        parser.add_argument("--json", action="store_true", help=_("print the result as one line of JSON"))

    def handle(self, *args: Any, **options: Any) -> None:
        self.is_json: bool = options["json"]
        with _Signals() as signals:
            try:
                if options["follow"]:
                    self._follow(signals)
                    return
                with signals.interrupting():
                    if options["verify"]:
                        self._verify()
                    elif options["full"]:
                        self._full()
                    else:
                        self._once()
            except Stop:
                if not options["follow"]:
                    raise CommandError(
                        _("Stopped. What was applied stays; the next run goes on from there."), returncode=130
                    ) from None
                self._say(_("Stopped."))
            except (SSOError, DatabaseError, InterfaceError) as error:
                raise CommandError(_explain(error), returncode=2) from error

    # the four ways

    def _once(self) -> None:
        with self._progress() as progress:
            result = sync.sync_once(progress)
        self._report(_counts(result) | {"position": FeedCursor.load().position}, _sentence(result))
        _require_all_written(result)

    def _full(self) -> None:
        with self._progress() as progress:
            result = sync.sync_full(progress)
        sentence = _sentence(result.upsert)
        if result.deactivated:
            sentence += _(" Deactivated %(count)s whom the portal does not have.") % {
                "count": result.deactivated
            }
        if result.rewound:
            sentence += _(
                " The portal had been restored from a backup; this site now says what the portal says."
            )
        counts = _counts(result.upsert) | {
            "missing_deactivated": result.deactivated,
            "rewound": result.rewound,
        }
        self._report(counts | {"position": FeedCursor.load().position}, sentence)
        _require_all_written(result.upsert)

    def _verify(self) -> None:
        with self._progress() as progress:
            report = sync.verify(progress)
        values = {
            "ok": not report.drift,
            "checked": report.checked,
            "pending": report.pending,
            "drift": [
                {"sub": str(each.sub), "kind": each.kind, "fields": list(each.fields)}
                for each in report.drift
            ],
        }
        for each in report.drift if not self.is_json else ():
            self._say(f"{each.sub}  {_kinds()[each.kind]}  {', '.join(each.fields)}".rstrip())
        sentence = _(
            "Compared %(checked)s users: %(drift)s differ, %(pending)s have changes not read yet."
        ) % {
            "checked": report.checked,
            "drift": len(report.drift) or _("none"),
            "pending": report.pending or _("none"),
        }
        self._report(values, sentence)
        if report.drift:
            raise CommandError(_("This site and the portal differ. `manage.py sso_sync --full` repairs it."))

    def _follow(self, signals: _Signals) -> None:
        self._say(_("Following the portal's feed from version %s.") % FeedCursor.load().position)
        outage = _Outage(_("The feed"))
        silence = _Outage(_("Redis"))
        last_event = _moment(time.time() - _LOOK_BACK)
        while True:
            close_old_connections()
            try:
                with signals.interrupting():
                    result = sync.sync_once()
            except (SSOError, DatabaseError, InterfaceError) as error:
                outage.begins(_explain(error))
                # A broken connection is only noticed, and replaced, once it is closed.
                connections.close_all()
                signals.sleep(outage.pause())
                continue
            outage.ends()
            if result != UpsertResult(unchanged=result.unchanged):
                self._say(f"{_sentence(result)} [{FeedCursor.load().position}]")
            last_event = self._wait(signals, last_event, silence)

    def _wait(self, signals: _Signals, last_event: str, silence: _Outage) -> str:
        """Return when there may be something new: an event said so, or the poll is due."""
        # Not all sites and processes at the same moment.
        seconds = conf.poll_interval() * random.uniform(0.8, 1.2)  # noqa: S311
        started = time.time()
        try:
            with signals.interrupting():
                event = store.wait_for_user_event(last_event, int(seconds * 1000))
        except StoreUnavailable as error:
            silence.begins(_("%s; polling every %s s meanwhile") % (error, conf.poll_interval()))
            signals.sleep(seconds)
            return _moment(started - _LOOK_BACK)
        silence.ends()
        return event or max(last_event, _moment(started - _LOOK_BACK), key=_order)

    # output

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        # Line by line, also into a file or a pipe.
        self.stdout.flush()

    def _report(self, values: dict[str, Any], sentence: str) -> None:
        self._say(json.dumps(values) if self.is_json else sentence)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[sync.Progress]:
        """A bar on a terminal; elsewhere a line now and then."""
        if self.is_json:
            yield sync.ignore_progress
        elif sys.stderr.isatty():
            bar = _Bar()
            try:
                yield bar.show
            finally:
                bar.close()
        else:
            yield _Lines(self._say).show


class Stop(BaseException):
    """SIGTERM or SIGINT has arrived. No ``except Exception`` on the way may swallow it."""


class _Signals:
    """Turns SIGTERM and SIGINT into ``Stop``, but only where stopping is wanted: while waiting, and
    in work that a transaction undoes."""

    def __init__(self) -> None:
        self._is_stopping = False
        self._may_interrupt = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        if self._may_interrupt:
            raise Stop

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """A signal stops what is in here at once; one that came before stops it from starting."""
        self._may_interrupt = True
        try:
            if self._is_stopping:
                raise Stop
            yield
        finally:
            self._may_interrupt = False

    def sleep(self, seconds: float) -> None:
        """Wait, or raise ``Stop``."""
        with self.interrupting():
            time.sleep(seconds)


class _Outage:
    """Says once that something does not work, and once that it does again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = 0

    def begins(self, reason: str) -> None:
        self.failures += 1
        if self.failures == 1:
            logger.error("%s cannot be read: %s. Trying again until it can.", self.name, reason)

    def ends(self) -> None:
        if self.failures:
            logger.warning("%s can be read again, after %s attempts.", self.name, self.failures)
        self.failures = 0

    def pause(self) -> float:
        """Seconds: twice as long each time, and at random, so that sites do not come back at once."""
        longest = min(MAX_PAUSE, 2.0 ** min(self.failures, 10) / 2)
        return random.uniform(longest / 2, longest)  # noqa: S311


@dataclass
class _Bar:
    """A progress bar, drawn over itself."""

    width: int = 30
    started: float = 0.0
    is_drawn: bool = False

    def show(self, done: int, position: int, head: int) -> None:
        self.started = self.started or time.monotonic()
        share = min(1.0, position / head) if head else 1.0
        full = int(share * self.width)
        rate = done / max(0.001, time.monotonic() - self.started)
        bar = "#" * full + "." * (self.width - full)
        sys.stderr.write(f"\r[{bar}] {share:4.0%}  {done:,} users  {rate:,.0f}/s ")
        sys.stderr.flush()
        self.is_drawn = True

    def close(self) -> None:
        if self.is_drawn:
            sys.stderr.write("\n")


@dataclass
class _Lines:
    """Progress for a log: a line at most every ten seconds."""

    say: Callable[[str], None]
    last: float = 0.0

    def show(self, done: int, position: int, head: int) -> None:
        now = time.monotonic()
        self.last = self.last or now
        if now - self.last >= 10:
            self.last = now
            self.say(_("%(done)s users so far (version %(position)s of %(head)s)") % locals())


def _moment(seconds: float) -> str:
    """The id that an event of this time has in the stream."""
    return f"{int(seconds * 1000)}-0"


def _order(event: str) -> tuple[int, ...]:
    return tuple(int(part) for part in event.split("-"))


def _counts(result: UpsertResult) -> dict[str, Any]:
    return {
        "created": result.created,
        "updated": result.updated,
        "deleted": result.deleted,
        "deactivated": result.deactivated,
        "unchanged": result.unchanged,
        "conflicts": [{"sub": str(each.sub), "field": each.field} for each in result.conflicts],
        "failed": [{"sub": str(each.sub), "error": type(each.error).__name__} for each in result.failed],
    }


def _sentence(result: UpsertResult) -> str:
    parts = [
        (_("created %s"), result.created),
        (_("updated %s"), result.updated),
        (_("deleted %s"), result.deleted),
        (_("%s got another name or address, because theirs was taken here"), len(result.conflicts)),
        (_("%s could not be written"), len(result.failed)),
    ]
    said = [text % count for text, count in parts if count]
    return f"{'; '.join(said).capitalize()}." if said else _("Up to date.")


def _kinds() -> dict[str, str]:
    return {
        "missing": _("missing here"),
        "behind": _("older here than the version that this site says it has read"),
        "ahead": _("newer here than at the portal: was it restored from a backup?"),
        "differs": _("changed here:"),
        "extra": _("active here, and not in the feed"),
    }


def _require_all_written(result: UpsertResult) -> None:
    if result.failed:
        raise CommandError(
            _("%s users could not be written; the log has the reason. The others are up to date.")
            % len(result.failed)
        )


def _explain(error: Exception) -> str:
    if isinstance(error, SSOError):
        return str(error)
    return _("the database does not answer (%s)") % type(error).__name__
