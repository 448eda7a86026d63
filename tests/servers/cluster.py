"""A Valkey cluster of four processes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from redis.crc import key_slot

from demo.parts import Watchdog
from demo.ports import free_port
from tests.timing import until

from .valkey import VALKEY_PASSWORD, ValkeyServer

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
