"""A part of the demo: a long-running process with its environment and its log.

Each part leads a process group of its own. Its workers end with it, and Ctrl-C reaches only the
supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .options import ROOT
from .watchdog import Watchdog

__all__ = ["Part", "Watchdog", "stop_all"]

GRACE = 6.0  # seconds between SIGTERM and SIGKILL


class Part:
    """A process that can be started, stopped, killed, paused and started again, always with the same log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        watchdog: Watchdog,
        *,
        user: int | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._watchdog = watchdog
        self._user = user  # for servers that refuse to run as root
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._is_swept = True  # the group is gone, and another process may get its number

    @property
    def pid(self) -> int:
        """The id of the process and of its group. Raises ``RuntimeError`` before the first start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started.")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; ``None`` while the process runs."""
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process. Its output is appended to the log."""
        if self.is_running():
            raise RuntimeError(f"{self.name} is running already.")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self._folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
            )
        self._is_swept = False
        self._watchdog.watch(self._process.pid)

    def terminate(self) -> None:
        """Send SIGTERM, and SIGCONT in case the process is paused. Returns at once."""
        if self.is_running():
            self.resume()
            self._send(signal.SIGTERM, group=False)  # servers stop their own workers

    def stop(self, grace: float = GRACE) -> None:
        """Terminate the process, and kill it after ``grace`` seconds. Returns when it has ended."""
        self.terminate()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL (-9) to the process and its workers. Returns when it has ended."""
        if self._process is None or self._is_swept:
            return
        self._send(signal.SIGKILL)
        self._process.wait(GRACE)
        self._is_swept = True
        self._watchdog.forget(self._process.pid)

    def pause(self) -> None:
        """Send SIGSTOP. A paused server still accepts connections, and never answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._send(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        """The end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def report(self) -> str:
        """One sentence about how the process ended, and the end of its log."""
        return f"{self.name} ended with status {self.returncode}. Its log is {self.log}:\n{self.tail()}"

    def _send(self, number: signal.Signals, *, group: bool = True) -> None:
        if self._is_swept:
            return
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)


def stop_all(parts: Iterable[Part], grace: float = GRACE) -> None:
    """Stop parts concurrently, within ``grace`` seconds for all of them together."""
    parts = list(parts)
    for part in parts:
        part.terminate()
    deadline = time.monotonic() + grace
    for part in parts:
        part.stop(max(0.0, deadline - time.monotonic()))
