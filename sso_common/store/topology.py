"""Which node of a Redis Cluster holds which key: redis-py's client, limited in time.

Where a node does not answer, redis-py asks every other node in turn for the topology, each with the full
time limit: a request to a cluster that hangs would wait for seconds.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterDownError, RedisClusterException, SlotNotCoveredError
from redis.retry import Retry

from sso_common import conf
from sso_common.flows import Command

from .outage import Outage

logger = logging.getLogger("sso_common.store")

T = TypeVar("T")

#: Seconds that a request waits for a new topology.
REFRESH_TIMEOUT: Final = 0.25
#: Seconds that a request waits for the first one. A node may then take 0.75 s, and a new topology 0.25 s.
START_TIMEOUT: Final = 0.5


class ClusterClient(RedisCluster):
    """Sends single commands, and knows where ``Cluster`` sends its own. Reads from primaries only."""

    #: A node that timed out is not asked again.
    ERRORS_ALLOW_RETRY = (redis.ConnectionError, ClusterDownError, SlotNotCoveredError)  # type: ignore[assignment]

    def __init__(self, startup_nodes: Sequence[ClusterNode], **options: Any) -> None:
        #: By the name of a node ("host:port"). A node that hangs must delay only the sessions it holds.
        self.outages: defaultdict[str, Outage] = defaultdict(Outage)
        self._configured = {node.name: node for node in startup_nodes}
        self._refreshing: Future[None] | None = None
        super().__init__(startup_nodes=[*startup_nodes], **options)
        # After each failure, redis-py calls initialize() while the request waits.
        manager = self.nodes_manager
        self._initialize = manager.initialize
        manager.initialize = lambda *_, **__: self.refresh_within(REFRESH_TIMEOUT)  # type: ignore[method-assign]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to the nodes that it concerns. Raises ``redis.RedisError``."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except (RedisClusterException, redis.TimeoutError) as error:
            raise as_connection_error(error) from error

    # redis-py has no public methods for the next two. Versions 6.2 to 8.1 call them in the same way.

    def _execute_command(self, target_node: ClusterNode, *args: Any, **options: Any) -> Any:
        """Send a command to one node, unless it timed out less than a second ago."""
        outage = self.outages[target_node.name]
        outage.check()
        try:
            answer = super()._execute_command(target_node, *args, **options)  # type: ignore[no-untyped-call]
        except redis.TimeoutError:
            outage.begin()
            raise
        outage.end()
        return answer

    def _execute_pipeline_by_slot(
        self, command: str, arguments_by_slot: Mapping[int, Iterable[Any]]
    ) -> list[Any]:
        """Send DEL, EXISTS and the like. A pipeline would wait again for a node that timed out."""
        return [self.execute_command(command, *arguments) for arguments in arguments_by_slot.values()]

    def close(self) -> None:
        """Close all connections; redis-py leaves those of its pools to the garbage collector."""
        super().close()
        self.disconnect_connection_pools()  # type: ignore[no-untyped-call]

    def holder(self, command: Command) -> str:
        """Return the name of the node that holds a command's one key, or "" if no node does."""
        key = command[3 if command[0] in {"EVAL", "EVALSHA"} else 1]
        nodes = self.nodes_manager.slots_cache.get(self.keyslot(key))  # type: ignore[no-untyped-call]
        return nodes[0].name if nodes else ""

    def pool(self, name: str) -> redis.ConnectionPool:
        """Return the connection pool of a node, which may be one that the topology does not have yet.

        Raises ``redis.ConnectionError`` for "".
        """
        if not name:
            raise redis.ConnectionError("No node holds this slot.")
        host, _, port = name.rpartition(":")
        known = self.nodes_manager.nodes_cache.get(name)
        node = known or ClusterNode(host, int(port))  # type: ignore[no-untyped-call]
        return self.get_redis_connection(node).connection_pool

    def refresh_within(self, seconds: float) -> bool:
        """Learn the topology in a thread. Return whether that was done in time."""
        refreshing = self.refreshing()
        wait({refreshing}, seconds)
        return refreshing.done()

    def refreshing(self) -> Future[None]:
        """What is done as soon as a thread has tried to learn the topology."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = in_thread(self._refresh)
        return self._refreshing

    def refresh(self) -> None:
        """Learn the topology, however long that takes. Raises ``redis.ConnectionError``."""
        manager = self.nodes_manager
        # Try the configured addresses as well, in case all others have changed.
        manager.startup_nodes = manager.startup_nodes | self._configured | manager.startup_nodes
        try:
            self._initialize()
        except (RedisClusterException, OSError) as error:
            raise as_connection_error(error) from error

    def _refresh(self) -> None:
        try:
            self.refresh()
        except redis.RedisError as error:
            logger.warning("The topology of the cluster cannot be read: %s", type(error).__name__)


def shared_client(url: str) -> ClusterClient:
    """Return the one client of this process for an address.

    Raises ``redis.ConnectionError``, or ``redis.TimeoutError`` while the cluster hangs.
    """
    starting = start_client(url)
    wait({starting}, START_TIMEOUT)
    return started(starting)


def start_client(url: str) -> Future[ClusterClient]:
    """The one client of this process for an address, as soon as it knows the topology.

    A thread connects. While the cluster hangs, that takes longer than a request may wait.
    """
    clients = clients_of_process(os.getpid())
    known = clients.get(url)
    if known is None or (known.done() and known.exception() is not None):
        known = clients[url] = in_thread(functools.partial(connect, url, conf.READ_TIMEOUT))
    return known


def started(starting: Future[ClusterClient]) -> ClusterClient:
    """The client, if it is known by now. Raises ``redis.TimeoutError`` or ``redis.ConnectionError``."""
    if not starting.done():
        raise redis.TimeoutError("The topology of the cluster is not known yet.")
    return starting.result()


@functools.lru_cache(maxsize=1)
def clients_of_process(pid: int) -> dict[str, Future[ClusterClient]]:
    """{address: client}. A child process must not share its parent's connections."""
    return {}


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread of its own, which does not keep the process from ending."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001  whoever waits decides
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def connect(url: str, timeout: float) -> ClusterClient:
    """Return a new client that waits ``timeout`` seconds for an answer. Raises ``redis.ConnectionError``.

    ``url``: ``redis://user:password@host:port[,host:port…]``, with one or more nodes.
    """
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    first, *_ = addresses = hosts.split(",")
    try:
        return ClusterClient(
            [ClusterNode(*split_host(address)) for address in addresses],  # type: ignore[no-untyped-call]
            url=urlunsplit(parts._replace(netloc=f"{credentials}{at}{first}")),
            socket_connect_timeout=conf.CONNECT_TIMEOUT,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 1),
            # A shard that is lost must affect only the sessions it holds.
            require_full_coverage=False,
        )
    except (RedisClusterException, OSError) as error:
        raise as_connection_error(error) from error


def split_host(text: str) -> tuple[str, int]:
    """Return host and port of ``host[:port]``. Raises ``ValueError``."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError("Not a host.")
    return parts.hostname, parts.port or 6379


def as_connection_error(error: Exception) -> redis.ConnectionError:
    """Return the ``redis.RedisError`` for a failure of one node, or of redis-py's cluster client.

    A ``TimeoutError`` would count as an outage of the whole store, and a ``RedisClusterException`` is not
    a ``RedisError``.
    """
    return error if isinstance(error, redis.ConnectionError) else redis.ConnectionError(type(error).__name__)
