"""``make demo`` starts, prints when it is ready, and leaves no process behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from demo.options import ROOT
from demo.ports import free_port, is_free
from tests.timing import WAIT


class Demo:
    """One ``python -m demo`` on free ports."""

    def __init__(self, folder: Path, ports: list[int] | None = None) -> None:
        self.ports = ports or [free_port() for _ in range(3)]
        self.folder = folder
        options = zip(("--portal-port", "--site-a-port", "--site-b-port"), map(str, self.ports), strict=True)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "demo",
                "--data-dir",
                folder,
                *(word for pair in options for word in pair),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.screen = ""

    def wait_until_ready(self) -> str:
        """Read the output up to the line for programs; return that line."""
        assert self.process.stdout
        timer = threading.Timer(2 * WAIT, self.process.kill)  # a read has no timeout of its own
        timer.start()
        try:
            for line in self.process.stdout:
                self.screen += line
                if line.startswith("READY "):
                    return line.strip()
        finally:
            timer.cancel()
        raise AssertionError(
            f"The demo ended before it was ready:\n{self.screen}\n{self.process.communicate()[1]}"
        )

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end; return the status, the rest of the output, and standard error."""
        out, error = self.process.communicate(timeout=WAIT)
        return self.process.returncode, out, error

    def stop(self) -> tuple[int, str, str]:
        """Send SIGTERM, and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        return self.finish()

    def child(self, words: str) -> int:
        """Return the process id of the part whose command contains these words."""
        command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (line,) = (line for line in listing.splitlines() if words in line)
        return int(line.split()[0])

    def is_gone(self, seconds: float = WAIT) -> bool:
        """Return whether all ports are free again within the time."""
        deadline = time.monotonic() + seconds
        while not all(map(is_free, self.ports)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def end(self) -> None:
        """Leave no process behind, also after a failure."""
        if self.process.poll() is None:
            self.process.kill()  # the watchdog ends the parts
            self.is_gone()
        self.process.communicate()


def has_ended(pid: int) -> bool:
    """Return whether a process that is no child of this one ends in time, or waits for init to reap it."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        command = ["ps", "-o", "stat=", "-p", str(pid)]
        state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.1)
    return False


class Start(Protocol):
    def __call__(self, other: Path | None = None, other_ports: list[int] | None = None, /) -> Demo: ...


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sso-demo-") as folder:
        yield Path(folder) / "data"


@pytest.fixture(scope="module")
def ports() -> list[int]:
    return [free_port() for _ in range(3)]


@pytest.fixture
def start(folder: Path, ports: list[int]) -> Iterator[Start]:
    """Start a demo, by default in the same folder and on the same ports in all tests, which is faster."""
    started: list[Demo] = []

    def start(other: Path | None = None, other_ports: list[int] | None = None) -> Demo:
        started.append(Demo(other or folder, other_ports or (ports if other is None else None)))
        return started[-1]

    yield start
    for demo in started:
        demo.end()


def test_the_demo_prints_when_it_is_ready_and_stops_cleanly_on_sigterm(folder: Path, start: Start) -> None:
    demo = start()
    ready = demo.wait_until_ready()

    status, out, error = demo.stop()

    portal, site_a, site_b = demo.ports
    assert ready == (
        f"READY portal=http://portal.sso.localhost:{portal} "
        f"site_a=http://a.sso.localhost:{site_a} site_b=http://b.sso.localhost:{site_b}"
    )
    assert status == 0
    assert "Stopped." in out
    assert not error
    assert demo.is_gone(0)


def test_a_second_start_skips_the_preparation_and_keeps_data_and_secrets(folder: Path, start: Start) -> None:
    folder = folder.with_name("new")
    first = start(folder)
    first.wait_until_ready()
    first.stop()
    secrets = (folder / "secrets.json").read_text()

    second = start(folder, first.ports)
    second.wait_until_ready()
    second.stop()

    assert "Preparing" in first.screen
    assert "Preparing" not in second.screen
    assert (folder / "secrets.json").read_text() == secrets


def test_only_their_owner_can_read_secrets_and_data(folder: Path, start: Start) -> None:
    demo = start()
    demo.wait_until_ready()
    demo.stop()

    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    secret = re.search(r'"root": "(.*?)"', (folder / "secrets.json").read_text())
    assert secret
    for log in (folder / "logs").iterdir():
        assert secret[1] not in log.read_text()
    assert secret[1] not in demo.screen


@pytest.mark.parametrize(
    ("words", "name"), [("site_b.asgi", "site_b"), ("valkey-server", "redis"), ("site_a/manage.py", "sync_a")]
)
def test_the_end_of_one_part_stops_the_demo_and_names_the_part(
    folder: Path, start: Start, words: str, name: str
) -> None:
    demo = start()
    demo.wait_until_ready()

    os.kill(demo.child(words), signal.SIGKILL)
    status, _, error = demo.finish()

    assert status == 1
    assert f"{name} ended with status -9" in error
    assert str(folder / "logs" / f"{name}.log") in error
    assert demo.is_gone(0)


def test_no_process_survives_a_supervisor_that_is_killed(folder: Path, start: Start) -> None:
    demo = start()
    demo.wait_until_ready()
    sync = demo.child("site_b/manage.py")

    demo.process.kill()
    demo.finish()

    assert demo.is_gone()
    assert has_ended(sync)


def test_a_port_in_use_is_reported_in_one_sentence(folder: Path, start: Start) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        demo = start(folder, [free_port(), taken, free_port()])
        status, _, error = demo.finish()

    assert status == 1
    assert error == (
        f"Port {taken} (for site_a) is already in use: "
        "choose another one with SITE_A_PORT=<port> (--site-a-port).\n"
    )


def test_two_demos_run_side_by_side(folder: Path, start: Start) -> None:
    first, second = start(), start(folder.with_name("other"))

    ready = [demo.wait_until_ready() for demo in (first, second)]
    statuses = [demo.stop()[0] for demo in (first, second)]

    assert len(set(ready)) == 2
    assert statuses == [0, 0]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--domain=example.com", "--domain must be a name under localhost"),
        ("--portal-port=99999", "A port is a number from 1 to 65535."),
        ("--namespace=S", "--namespace may contain only lowercase letters"),
        ("--site-a-port=8000", "Each part needs its own port."),
        ("--redis-port=x", "Argument --redis-port: invalid int value: 'x'."),
    ],
)
def test_a_wrong_option_is_reported_in_one_sentence(option: str, sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", option],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_an_old_python_is_reported_in_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 1;; *) echo 3.9.2;; esac\n')
    old.chmod(0o755)

    done = subprocess.run(
        ["make", "demo", f"PYTHON={old}"], cwd=ROOT, check=False, capture_output=True, text=True, timeout=WAIT
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"Python 3.11 or newer is required, but '{old}' is 3.9.2: set PYTHON=")
