"""Ends the demo's processes when the supervisor itself is killed (-9) and can no longer do it.

In: standard input, a pipe from the supervisor with one line per process group that starts ("+123")
or has ended ("-123"). Out: nothing, unless the pipe closes while groups are still there: those are
ended, first politely. Runs as a small process in a session of its own; standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE = 5.0


def main() -> None:
    # Whatever is sent to the terminal's group is the supervisor's business; the pipe tells the rest.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    end(groups)


def end(groups: set[int]) -> None:
    """SIGTERM, then SIGKILL for those still there after ``GRACE`` seconds."""
    left = {group for group in groups if _send(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = {group for group in left if _send(group, 0)}
    for group in left:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
