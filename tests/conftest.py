"""Fixtures for every room: a real Valkey, a real PostgreSQL, and what to do where a program is missing.

- ``valkey_server`` (session): the process itself; start it, kill it, pause it.
- ``valkey`` (test): the same, running and empty. ``valkey.admin`` may do everything,
  ``valkey.url`` is the operator's address.
- ``postgres_url`` (session): the address of a PostgreSQL.
- ``need_program``: names a program from outside Python; without it the test is skipped loudly on a
  person's machine, and fails where CI is set: there, a silent gap would look like a pass.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from sso_common import store
from tests.servers import ValkeyServer, postgres_server
from tests.servers import valkey_server as start_valkey

# On a busy machine, an example may take longer than Hypothesis allows by default.
settings.register_profile(
    "busy", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    with start_valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> Iterator[ValkeyServer]:
    valkey_server.ensure_running()
    valkey_server.clear()
    store.outage.end()  # what an earlier test did to it is forgotten
    yield valkey_server
    valkey_server.ensure_running()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as address:
        yield address


def need_program(name: str) -> str:
    """The path of a program that a test cannot do without; see the module's docstring."""
    if path := shutil.which(name):
        return path
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{name} is not installed, and CI is set: no story may be left out there.")
    pytest.skip(f"{name} is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, at the very end, what was left out."""
    skipped = terminalreporter.stats.get("skipped", [])
    for name in ("chromium", "nginx"):
        reason = f"{name} is not installed"
        count = sum(reason in str(report.longrepr) for report in skipped)
        if count:
            terminalreporter.write_line(
                f"NOT TESTED: {count} tests were skipped because {reason}.", red=True, bold=True
            )
