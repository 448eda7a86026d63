"""Runs probes under a time limit. A probe examines one thing and yields findings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from django.db import connections

from .findings import Finding, failure, skipped, unexpected

Probe: TypeAlias = Callable[..., Iterable[Finding]]

#: Seconds for one probe.
PROBE_TIMEOUT: Final = 6.0


class Bounded:
    """Runs probes one after the other, ``seconds`` in total, each in a thread of its own.

    Python cannot end a thread that hangs, so such a thread is abandoned.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def __call__(self, check: str, probe: Probe, *arguments: Any) -> list[Finding]:
        """Return the findings of a probe, the last of them a failure if it raises or takes too long."""
        limit = min(PROBE_TIMEOUT, self._deadline - time.monotonic())
        if limit <= 0:
            return [skipped(check, "the time was up")]
        findings: list[Finding] = []
        thread = threading.Thread(target=collect, args=(findings, check, probe, *arguments), daemon=True)
        thread.start()
        thread.join(limit)
        if not thread.is_alive():
            return findings
        fix = "Find out what delays it: the network, name resolution, or the server."
        return [*findings, failure(check, f"No answer within {limit:.0f} s.", fix)]


def collect(findings: list[Finding], check: str, probe: Probe, *arguments: Any) -> None:
    """Append the findings of a probe to a list as they come."""
    try:
        findings.extend(probe(*arguments))
    except Exception as error:  # noqa: BLE001  a probe that fails must not end the examination
        findings.append(unexpected(check, error))
    finally:
        connections.close_all()
