"""A Valkey process that a test can kill, pause and restart.

``tests/settings.py`` imports ``VALKEY_URL``, because settings are read before any fixture runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from demo.parts import Part, Watchdog
from demo.ports import free_port
from demo.valkey import prepare, wait_until_ready
from tests.timing import until

#: Each test process, and each worker of pytest-xdist, has its own.
VALKEY_PORT = free_port()
VALKEY_PASSWORD = "of-the-tests"
#: The operator's address, which allows every command. Sites and the portal have their own users.
VALKEY_URL = f"redis://default:{VALKEY_PASSWORD}@127.0.0.1:{VALKEY_PORT}/0"


class ValkeyServer:
    """A real Valkey with the shipped configuration. ``admin`` may run every command."""

    admin: redis.Redis

    def __init__(
        self, folder: Path, watchdog: Watchdog, port: int = VALKEY_PORT, options: Sequence[str] = ()
    ) -> None:
        self.port = port
        self.url = f"redis://default:{VALKEY_PASSWORD}@127.0.0.1:{port}/0"
        password = hashlib.sha256(VALKEY_PASSWORD.encode()).hexdigest()
        command = prepare(folder / "valkey", port, f"user default on #{password} ~* &* +@all\n")
        command[0] = os.environ.get("SSO_TEST_REDIS") or command[0]
        # Otherwise Redis holds back its writes while a slow disk syncs, and loses them when it is killed.
        command += ["--appendfsync", "no"]
        self._part = Part("valkey", [*command, *options], os.environ, folder / "valkey.log", watchdog)

    def start(self) -> None:
        """Start the process with the data it had, and return when it answers."""
        self._part.start()
        wait_until_ready(self.url, self._part.is_running).close()
        self.admin = redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=20)

    def ask(self, *command: str | int) -> Any:
        """Send a command as the operator, and return the reply."""
        return self.admin.execute_command(*command)  # type: ignore[no-untyped-call]

    def kill(self) -> None:
        """Send SIGKILL (-9): connections break, and new ones are refused."""
        self._part.kill()

    def pause(self) -> None:
        """Send SIGSTOP: connections are accepted, and commands get no reply."""
        self._part.pause()

    def resume(self) -> None:
        """Send SIGCONT."""
        self._part.resume()

    def restart(self) -> None:
        """Kill the process (-9) and start it with the data it had."""
        self.kill()
        self.start()

    def is_running(self) -> bool:
        """Return whether the process is running."""
        return self._part.is_running()

    def ensure_running(self) -> None:
        """Resume or restart a process that a test has paused or killed."""
        self._part.resume()
        if not self._part.is_running():
            self.restart()

    def clear(self) -> None:
        """Delete all keys, all scripts and all users but the operator; restore the limits."""
        self.admin.flushall()
        self.admin.script_flush()
        if users := [str(name) for name in self.admin.acl_users() if name != "default"]:
            self.admin.acl_deluser(*users)
        self.admin.config_set("maxmemory", "256mb")

    def stop(self) -> None:
        """End the process."""
        self._part.stop()


@contextlib.contextmanager
def valkey_server() -> Iterator[ValkeyServer]:
    """Start a Valkey, and stop it afterwards."""
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory(prefix="sso-valkey-") as folder:
        server = ValkeyServer(Path(folder), watchdog)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            watchdog.close()


def wait_until_replicated(primary: ValkeyServer, replica: ValkeyServer) -> None:
    """Return when a replica has all writes so far. WAIT would wait only for those of its own connection."""
    written = primary.admin.info("replication")["master_repl_offset"]
    until(lambda: replica.admin.info("replication")["slave_repl_offset"] >= written)
