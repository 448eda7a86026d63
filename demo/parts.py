"""One part of the demo: a long-running process with its environment and its log.

In: a command. Out: a ``Part`` that can be started, stopped, killed, paused and started again, which
is all that the supervisor and the stories do to it. Each part leads a process group of its own, so
that its workers go when it goes and Ctrl-C reaches only the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .options import ROOT

GRACE = 6.0  # seconds between asking and killing
_WATCHDOG = Path(__file__).with_name("watchdog.py")


class Watchdog:
    """The process that cleans up if this one is killed; see ``watchdog.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", _WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            bufsize=1,
        )

    def watch(self, group: int) -> None:
        """Tell it of a process group that has started."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Tell it of a process group that has ended."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Nothing is left to watch: let it end."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait(GRACE * 2)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # without a watchdog the demo still works
            if self._process.stdin:
                self._process.stdin.write(line)


class Part:
    """A process with a name. ``start`` after an end starts it again, with the same log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        watchdog: Watchdog,
        *,
        user: int | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._watchdog = watchdog
        self._user = user  # for servers that refuse to run as root
        self._process: subprocess.Popen[bytes] | None = None
        self._is_swept = True  # nothing of its group is left; another process may get the number

    @property
    def pid(self) -> int:
        """The process id, which is also that of the group. Raises ``RuntimeError`` before a start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started.")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """What it ended with; negative for a signal, ``None`` while it runs."""
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it. What it prints goes to the log's end."""
        if self.is_running():
            raise RuntimeError(f"{self.name} is running already.")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
            )
        self._is_swept = False
        self._watchdog.watch(self._process.pid)

    def ask_to_stop(self) -> None:
        """SIGTERM, and SIGCONT in case it is paused. Returns at once."""
        if self.is_running():
            self.resume()
            self._send(signal.SIGTERM, group=False)  # servers tell their own workers

    def stop(self, grace: float = GRACE) -> None:
        """End it politely, and by force after ``grace`` seconds. Returns when it has ended."""
        self.ask_to_stop()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
            self.kill()

    def kill(self) -> None:
        """SIGKILL (-9) for it and its workers. Returns when it has ended."""
        if self._process is None or self._is_swept:
            return
        self._send(signal.SIGKILL)
        self._process.wait(GRACE)
        self._is_swept = True
        self._watchdog.forget(self._process.pid)

    def pause(self) -> None:
        """SIGSTOP: it is there, takes connections, and never answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _send(self, number: signal.Signals, *, group: bool = True) -> None:
        if self._is_swept:
            return
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)


def stop_all(parts: Iterable[Part], grace: float = GRACE) -> None:
    """Stop parts side by side: ``grace`` seconds for all of them together."""
    parts = list(parts)
    for part in parts:
        part.ask_to_stop()
    deadline = time.monotonic() + grace
    for part in parts:
        part.stop(max(0.0, deadline - time.monotonic()))
