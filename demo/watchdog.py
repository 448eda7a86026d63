"""Ends the demo's processes if the supervisor is killed (-9) and cannot do it itself.

``Watchdog`` starts this file as a small process in a session of its own. Over its standard input it
learns of each process group that starts ("+123") or has ended ("-123"). If the pipe closes while groups
are left, it ends them.

Standard library only, because the process runs isolated (``-I -S``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

GRACE = 5.0  # seconds between SIGTERM and SIGKILL


class Watchdog:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            bufsize=1,
        )

    def watch(self, group: int) -> None:
        """Report a process group that has started."""
        self._write(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Report a process group that has ended."""
        self._write(f"-{group}\n")

    def close(self) -> None:
        """Let the process end. Groups that it still watches end with it."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait(GRACE * 2)

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # without a watchdog the demo still works
            if self._process.stdin:
                self._process.stdin.write(line)


def main() -> None:
    # Ctrl-C and a closed terminal are for the supervisor to handle. Only the pipe counts here.
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
    """Send SIGTERM, then SIGKILL to the groups that are left after ``GRACE`` seconds."""
    left = {group for group in groups if send(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal (0 only looks). Returns whether the group exists."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
