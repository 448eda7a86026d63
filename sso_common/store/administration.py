"""Commands about the servers rather than about sessions: who they are, and which users they have.

Called by the portal's ACL and by ``sso_doctor``, never in a visitor's request. Every function raises
``StoreUnavailable``, or ``StoreRefused`` where Redis refuses the command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from redis.cluster import RedisCluster

from sso_common import conf

from .connection import answering, client
from .topology import ClusterClient, shared_client


def cluster_client() -> ClusterClient | None:
    """The cluster's client, or None for a single server."""
    dsn = conf.dsn()
    return shared_client(dsn.redis_login_url) if dsn.is_cluster else None


def is_cluster() -> bool:
    """Whether Redis is a cluster."""
    return conf.dsn().is_cluster


def everywhere(*command: str | int) -> dict[str, Any]:
    """Run a command on every node and return {node: its answer}; a single server has the name "".

    Each node of a cluster has its own list of users, replicas too. The node may have joined since this
    process started.
    """
    with answering():
        if cluster := cluster_client():
            cluster.refresh()
            nodes = list(cluster.nodes_manager.nodes_cache.values())
            return {node.name: cluster.execute_command(*command, target_nodes=node) for node in nodes}
        return {"": client().execute_command(*command)}  # type: ignore[no-untyped-call]


def anywhere(*command: str | int) -> Any:
    """Run a command without keys, in a cluster on any one node, and return the answer."""
    with answering():
        where = {"target_nodes": RedisCluster.RANDOM} if is_cluster() else {}
        answer = client().execute_command(*command, **where)  # type: ignore[no-untyped-call]
    # A cluster may answer by node.
    return next(iter(answer.values())) if isinstance(answer, dict) else answer


def info(section: str) -> Mapping[str, Mapping[str, Any]]:
    """{node: its INFO} of each primary; a single server has the name ""."""
    with answering():
        if cluster := cluster_client():
            answer: Mapping[str, Any] = cluster.info(section, target_nodes=RedisCluster.PRIMARIES)
            # A single node's answer is not wrapped in a mapping.
            return answer if all(isinstance(each, dict) for each in answer.values()) else {"": answer}
        return {"": client().info(section)}


def run_ids() -> str:
    """A digest that changes whenever a server was restarted, replaced, added or brought back."""
    servers = everywhere("INFO", "server").values()
    runs = ",".join(sorted(str(each["run_id"]) for each in servers))
    # Of a fixed length, whatever the size of the cluster: it is stored in a column.
    return hashlib.sha256(runs.encode()).hexdigest()


def user_name() -> str:
    """The name of the Redis user of this process."""
    answer = anywhere("ACL WHOAMI")
    return answer.decode() if isinstance(answer, bytes) else str(answer)
