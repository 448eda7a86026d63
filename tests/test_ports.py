"""Ports for servers: out of the way of outgoing connections and of other test runs."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo import ports

ROOT = Path(__file__).parents[1]
LOWEST_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_free_port_is_never_the_port_of_an_outgoing_connection() -> None:
    lowest = int(LOWEST_OUTGOING.read_text().split()[0]) if LOWEST_OUTGOING.exists() else 32_768

    assert ports.RANGE.stop <= lowest
    assert ports.free_port() in ports.RANGE


def test_two_runs_that_compete_for_a_few_ports_share_none(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports.free_port()
    few = range(first, first + 20)
    monkeypatch.setattr(ports, "RANGE", few)
    mine = {first, *(ports.free_port() for _ in range(5))}

    source = f"from demo import ports; ports.RANGE = {few!r}; print(*(ports.free_port() for _ in range(5)))"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )

    theirs = set(map(int, done.stdout.split()))
    assert len(mine) == 6
    assert len(theirs) == 5
    assert not mine & theirs


def test_a_port_on_which_a_server_listens_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "RANGE", range(taken, taken + 1))

        assert not ports.is_free(taken)
        with pytest.raises(OSError, match="No port"):
            ports.free_port()
