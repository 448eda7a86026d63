"""Fixtures for every room: real servers, and programs from outside Python.

- ``valkey_server`` (session): a Valkey process that tests may kill and pause.
- ``valkey`` (test): the same, running and empty. ``valkey.admin`` may run every command, and
  ``valkey.url`` is the operator's address.
- ``postgres_url`` and ``mariadb_url`` (session): the addresses of a PostgreSQL and of a MariaDB.
- ``real`` (test): the alias of a new database for several connections, in each kind of database that a site
  can use.
- ``need_program``: the path of a program. Without the program the test is skipped, which the last lines
  of the output say; where CI is set, the test fails instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sso_common import store
from tests.databases import real_database
from tests.servers import ValkeyServer, mariadb_server, postgres_server
from tests.servers import valkey_server as start_valkey

# By default Hypothesis fails an example that takes 200 ms, which on a busy machine is any example.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    with start_valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> Iterator[ValkeyServer]:
    valkey_server.ensure_running()
    valkey_server.clear()
    store.outage.end()  # an earlier test may have caused one
    yield valkey_server
    valkey_server.ensure_running()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    need_program("mariadbd")
    with mariadb_server() as address:
        yield address


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'site.sqlite3'}"
    else:
        address = request.getfixturevalue(f"{request.param}_url")
    with real_database(address) as alias:
        yield alias


def need_program(name: str) -> str:
    """Return the path of a program that a test cannot do without; see the module's docstring."""
    if path := shutil.which(name):
        return path
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        pytest.fail(f"{name} is not installed, and CI is set: there, no test may be left out.")
    pytest.skip(f"{name} is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were left out, in red."""
    skipped = terminalreporter.stats.get("skipped", [])
    for name in ("chromium", "mariadbd", "nginx"):
        reason = f"{name} is not installed"
        count = sum(reason in str(report.longrepr) for report in skipped)
        if count:
            terminalreporter.write_line(
                f"NOT TESTED: {count} tests were skipped because {reason}.", red=True, bold=True
            )
