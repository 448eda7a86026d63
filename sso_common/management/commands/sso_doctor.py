"""``manage.py sso_doctor``: examine a live installation and say what to fix."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sso_common import checks, conf, doctor
from sso_common.doctor import Finding, Level


class Command(BaseCommand):
    """Prints one line for each thing examined. The worst finding decides the exit status."""

    help = (
        "Examine this installation: settings, database, Redis, portal, clocks, keys and feed. Exit status: 0 "
        "no problems, 1 warnings, 2 failures."
    )
    # The doctor reports what the checks find, and goes on.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as JSON, for scripts")
        parser.add_argument(
            "--timeout",
            type=float,
            default=doctor.TIMEOUT,
            metavar="SECONDS",
            help="stop after this time (default: %(default).0f)",
        )
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help="a host name that browsers use for this site; repeatable (default: those of ALLOWED_HOSTS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in doctor.examine(options["host"], options["timeout"]):
            findings.append(finding)
            if not options["json"]:
                self._print(finding)
        level = doctor.worst(findings)
        if options["json"]:
            self._print_json(level, findings)
        else:
            self._print_summary(level, findings)
        if level.status:
            sys.exit(level.status)

    def _print(self, finding: Finding) -> None:
        word = self._style(finding.level)(f"{finding.level:<8}")
        self.stdout.write(f"{word} {finding.check:<22} {finding.message}")
        if finding.fix:
            self.stdout.write(f"{'':<9}-> {finding.fix}")

    def _print_summary(self, level: Level, findings: Sequence[Finding]) -> None:
        good, warnings, failures = (sum(finding.level is each for finding in findings) for each in Level)
        self.stdout.write(self._style(level)(f"{good} ok, {warnings} warnings, {failures} failures"))

    def _print_json(self, level: Level, findings: Sequence[Finding]) -> None:
        report = {
            "level": level,
            "site": None if checks.check_dsn() else conf.dsn().site,
            "findings": [asdict(finding) for finding in findings],
        }
        self.stdout.write(json.dumps(report, indent=2))

    def _style(self, level: Level) -> Callable[[str], str]:
        if not self.stdout.isatty():  # Django decides by the process's own output instead
            return str
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.FAILURE: self.style.ERROR,
        }
        return styles[level]
