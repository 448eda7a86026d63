"""A MariaDB process, from Debian's package ``mariadb-server``."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql

from demo.parts import Part, Watchdog
from demo.ports import free_port
from tests.timing import WAIT

from .unprivileged import give, group_of, unprivileged

PASSWORD = "of-the-tests"
#: Nothing has to outlive the server. The limits for asynchronous I/O are shared by all servers of a user.
INNODB = ["--innodb-flush-method=nosync", "--innodb-use-native-aio=0", "--innodb-buffer-pool-size=64M"]
INNODB += ["--innodb-flush-log-at-trx-commit=0", "--innodb-file-per-table=0", "--sync-frm=0"]

# Django's backend imports MySQLdb. PyMySQL takes its place: it needs no compiler.
pymysql.install_as_MySQLdb()


@contextlib.contextmanager
def mariadb_server() -> Iterator[str]:
    """Start a MariaDB, yield its address (``mysql://user:password@host:port/database``), stop it."""
    owner = unprivileged()
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory(prefix="sso-mariadb-") as text:
        folder = Path(text)
        give(folder, owner)
        port = free_port()
        _create_data(folder, owner)
        part = _part(folder, owner, port, watchdog)
        try:
            part.start()
            _wait_for_mariadb(port, part)
            yield f"mysql://root:{PASSWORD}@127.0.0.1:{port}/mysql"
        finally:
            part.stop()
            watchdog.close()


def _create_data(folder: Path, owner: int | None) -> None:
    command: list[str | Path] = ["mariadb-install-db", "--no-defaults", f"--datadir={folder / 'data'}"]
    command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    # Do not ask DNS for the name of this machine.
    command += ["--force", "--skip-name-resolve", *INNODB]
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        user=owner,
        group=group_of(owner),
    )
    if done.returncode:
        raise RuntimeError(f"MariaDB's tables were not created:\n{done.stdout}")


def _part(folder: Path, owner: int | None, port: int, watchdog: Watchdog) -> Part:
    start = folder / "start.sql"
    start.write_text(f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';\n")
    give(start, owner)
    settings = {
        "datadir": folder / "data",
        "bind-address": "127.0.0.1",
        "port": port,
        "socket": folder / "socket",
        "pid-file": folder / "pid",
        "init-file": start,
        "character-set-server": "utf8mb4",
        "collation-server": "utf8mb4_general_ci",  # Debian's default, which ignores case and accents
    }
    command: list[str | Path] = ["mariadbd", "--no-defaults", *INNODB]
    command += [f"--{name}={value}" for name, value in settings.items()]
    return Part("mariadb", command, os.environ, folder / "mariadb.log", watchdog, user=owner)


def _wait_for_mariadb(port: int, part: Part) -> None:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            pymysql.connect(
                host="127.0.0.1", port=port, user="root", password=PASSWORD, connect_timeout=2
            ).close()
        except pymysql.OperationalError:
            if time.monotonic() > deadline or not part.is_running():
                raise RuntimeError(f"MariaDB did not start:\n{part.tail()}") from None
            time.sleep(0.1)
        else:
            return
