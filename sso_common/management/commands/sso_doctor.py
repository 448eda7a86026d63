"""``manage.py sso_doctor``: examines a live installation and says what to repair."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from sso_common import checks, conf, doctor
from sso_common.doctor import Finding, Level


class Command(BaseCommand):
    """One line for each thing examined; the exit status says the worst."""

    help = _(
        "Examine this installation: settings, Redis and this site's rights there, the portal, clocks, keys, "
        "the feed. One line each. Exit status: 0 all is well, 1 there are warnings, 2 there are failures."
    )
    # It reports what the checks find, and goes on.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help=_("print the result as JSON, for scripts"))
        parser.add_argument(
            "--timeout",
            type=float,
            default=doctor.TIMEOUT,
            metavar="SECONDS",
            help=_("give up on whatever is not examined by then (default: %(default).0f)"),
        )
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help=_(
                "a name under which browsers know this site; repeatable (default: those of ALLOWED_HOSTS)"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in doctor.examine(options["host"], options["timeout"]):
            findings.append(finding)
            if not options["json"]:
                self._show(finding)
        level = doctor.worst(findings)
        if options["json"]:
            self._print_json(level, findings)
        else:
            self._sum_up(level, findings)
        if level.status:
            sys.exit(level.status)

    def _show(self, finding: Finding) -> None:
        word = self._style(finding.level)(f"{finding.level:<8}")
        self.stdout.write(f"{word} {finding.check:<22} {finding.message}")
        if finding.fix:
            self.stdout.write(f"{'':<9}-> {finding.fix}")

    def _sum_up(self, level: Level, findings: list[Finding]) -> None:
        counts = {each: sum(finding.level is each for finding in findings) for each in Level}
        text = _("%(ok)d ok, %(warnings)d warnings, %(failures)d failures") % {
            "ok": counts[Level.OK],
            "warnings": counts[Level.WARNING],
            "failures": counts[Level.FAILURE],
        }
        self.stdout.write(self._style(level)(text))

    def _print_json(self, level: Level, findings: list[Finding]) -> None:
        report = {
            "level": level,
            "site": None if checks.check_dsn() else conf.site(),
            "findings": [asdict(finding) for finding in findings],
        }
        self.stdout.write(json.dumps(report, indent=2))

    def _style(self, level: Level) -> Callable[[str], str]:
        if not self.stdout.isatty():  # Django looks at the process's own output, not at this one
            return str
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.FAILURE: self.style.ERROR,
        }
        return styles[level]
