"""Redis Cluster: the client behind a ``redis-cluster://`` address.

In: commands, and which key each of them concerns. Out: their answers, from the nodes that hold the
keys, in one round trip to each. Called by ``store``, and by django-redis through ``ConnectionFactory``.

redis-py knows the nodes and the slots. But where a node does not answer, it asks again command by
command and then every other node for the topology, each with the full time limit, while the request
waits. Here a request asks, looks for a moment whether another node has taken over, and gives up.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  redis-py's own, which is no OSError
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  likewise
    TryAgainError,
)
from redis.retry import Retry

from sso_common import conf
from sso_common.flows import Command

from .outage import Outage

logger = logging.getLogger("sso_common.store")

#: Seconds that a request waits for the answer to "who holds this slot now?".
LOOK_AROUND: Final = 0.25
#: Redirections in a row; more would be two nodes that send us to and fro.
HOPS: Final = 3

#: Commands that go the short way, and where their one key stands. All others go redis-py's.
_STRINGS: Final = ("GET", "SET", "EXISTS", "UNLINK", "DEL", "TTL", "PTTL", "EXPIRE", "EXPIREAT", "PEXPIRE")
_OTHERS: Final = ("HGETALL", "HSET", "HSETNX", "HDEL", "ZADD", "ZREM", "ZRANGE", "ZREMRANGEBYSCORE")
_KEY_AT: Final = dict.fromkeys((*_STRINGS, *_OTHERS, "XADD", "XRANGE"), 1) | {"EVAL": 3, "EVALSHA": 3}


class ClusterClient(RedisCluster):
    """A cluster's client that answers or fails in bounded time. Reads from primaries alone."""

    #: The addresses that were configured.
    start: tuple[tuple[str, int], ...] = ()
    _looking: threading.Thread | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        #: By a node's name: one that hangs must not keep its own visitors waiting, nor cost others theirs.
        self.outages: defaultdict[str, Outage] = defaultdict(Outage)
        super().__init__(*args, **options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command, the short way where it has one key."""
        if _is_plain(args) and "target_nodes" not in options:
            return self.parse(args, options, self.ask([args])[0])
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except (RedisClusterException, TimeoutError) as error:
            raise _as_redis_error(error) from error

    def pipeline(self, transaction: bool | None = None, shard_hint: Any = None) -> Any:
        """Commands of one key each, of any slots; they are no transaction."""
        return _Batch(self)

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands of one key each; a refusal is an answer, too.

        Raises ``redis.ConnectionError``, or ``StoreUnavailable`` where a node has just hung.
        """
        try:
            return self._ask(commands)
        except (ConnectionError, TimeoutError, RedisClusterException, OSError) as error:
            asked = self._holders(commands)
            is_known = self._look_around()
            # Who did not answer in time will not do so now; a broken connection is worth a new one.
            is_late = isinstance(error, TimeoutError) and self._holders(commands) == asked
            if not is_known or is_late or isinstance(error, AuthenticationError):
                raise _as_redis_error(error) from error
        try:
            return self._ask(commands)
        except (TimeoutError, RedisClusterException, OSError) as error:
            raise _as_redis_error(error) from error

    def parse(self, command: Command, options: dict[str, Any], answer: Any) -> Any:
        """What redis-py makes of an answer. Raises where it is a refusal."""
        if isinstance(answer, ResponseError):
            raise answer
        options.pop("keys", None)  # meant for a cache that is not used here
        callback = self.any_node().response_callbacks.get(command[0])
        return answer if callback is None else callback(answer, **options)

    def any_node(self) -> Any:
        """The client of some node: its settings are those of all."""
        return self.get_redis_connection(next(iter(self.nodes_manager.nodes_cache.values())))

    def forget(self) -> None:
        """Close the connections that are not in use."""
        for node in list(self.nodes_manager.nodes_cache.values()):
            if node.redis_connection is not None:
                node.redis_connection.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close all connections; redis-py leaves those of its pools to the garbage collector."""
        super().close()
        self.disconnect_connection_pools()  # type: ignore[no-untyped-call]

    def refresh(self) -> None:
        """Learn the topology anew, at once. Raises ``redis.ConnectionError``."""
        manager = self.nodes_manager
        configured = {node.name: node for node in (_node(*address) for address in self.start)}
        try:
            # The configured addresses as well, in case all others have changed.
            manager.startup_nodes = manager.startup_nodes | configured | manager.startup_nodes
            manager.initialize()
        except (RedisClusterException, OSError) as error:
            raise _as_redis_error(error) from error

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        holders = [self._holder(command) for command in commands]
        by_name = {node.name: node for node in holders}  # redis-py 6 cannot hash a node
        indexes = {name: [i for i, node in enumerate(holders) if node.name == name] for name in by_name}
        batches = [(node, [commands[i] for i in indexes[name]]) for name, node in by_name.items()]
        answers: list[Any] = [None] * len(commands)
        for found, (name, node) in zip(self._converse(batches), by_name.items(), strict=True):
            for i, answer in zip(indexes[name], found, strict=True):
                answers[i] = self._follow(node, commands[i], answer)
        return answers

    def _converse(self, batches: Sequence[tuple[ClusterNode, list[Command]]]) -> list[list[Any]]:
        """Send to all nodes, then read from all: one round trip."""
        opened: list[tuple[Any, Any]] = []
        answers: list[list[Any]] = []
        for node, _ in batches:
            self.outages[node.name].check()
        try:
            for node, commands in batches:
                pool = self.get_redis_connection(node).connection_pool
                connection: Any = pool.get_connection()
                opened.append((pool, connection))
                connection.send_packed_command(connection.pack_commands(commands))
            for (node, commands), (_, connection) in zip(batches, opened, strict=True):
                answers.append([_answer(connection) for _ in commands])
                self.outages[node.name].end()
        except BaseException as error:
            if isinstance(error, TimeoutError):
                self.outages[node.name].begin()
            # Whoever used one of these next would read what is left of the answers.
            for _, connection in opened:
                connection.disconnect()
            raise
        finally:
            for pool, connection in opened:
                pool.release(connection)
        return answers

    def _follow(self, node: ClusterNode, command: Command, answer: Any) -> Any:
        """Go where a node sends us: the slot has moved, or is just moving."""
        for _ in range(HOPS):
            if isinstance(answer, ClusterDownError):
                self._look_around(0)
            if not isinstance(answer, (AskError, TryAgainError)):  # MOVED is an AskError to redis-py
                break
            ahead: list[Command] = []
            if isinstance(answer, TryAgainError):
                time.sleep(0.02)
            else:
                if isinstance(answer, MovedError):
                    self._look_around()
                else:
                    ahead = [("ASKING",)]
                host = answer.host or node.host
                node = self._node_at(host, answer.port)
            answer = self._converse([(node, [*ahead, command])])[0][-1]
        return answer

    def _node_at(self, host: str, port: int) -> ClusterNode:
        known: ClusterNode | None = self.get_node(host, port)  # type: ignore[no-untyped-call]
        return known or _node(host, port)

    def _holder(self, command: Command) -> ClusterNode:
        node: ClusterNode = self.get_node_from_key(command[_KEY_AT[command[0]]])  # type: ignore[no-untyped-call]
        return node

    def _holders(self, commands: Sequence[Command]) -> list[str | None]:
        names: list[str | None] = []
        for command in commands:
            try:
                names.append(self._holder(command).name)
            except RedisClusterException:  # nobody
                names.append(None)
        return names

    def _look_around(self, seconds: float = LOOK_AROUND) -> bool:
        """Learn the topology anew, beside the request. Whether that was done in time."""
        thread = self._looking
        if thread is None or not thread.is_alive():
            thread = self._looking = threading.Thread(target=self._refresh, daemon=True)
            thread.start()
        thread.join(seconds)
        return not thread.is_alive()

    def _refresh(self) -> None:
        try:
            self.refresh()
        except RedisError as error:
            logger.warning("The cluster's topology is not known: %s", type(error).__name__)


class _Batch(Pipeline):
    """A pipeline of commands with one key each, whatever nodes hold the keys."""

    def __init__(self, cluster: ClusterClient) -> None:
        node = cluster.any_node()
        super().__init__(node.connection_pool, node.response_callbacks, transaction=False, shard_hint=None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send all of it. Raises the first refusal, after everything was sent."""
        stack = list(self.command_stack)
        self.reset()
        answers = self._cluster.ask([args for args, _ in stack]) if stack else []
        refusals = [answer for answer in answers if isinstance(answer, ResponseError)]
        if refusals and raise_on_error:
            raise refusals[0]
        return [
            answer if isinstance(answer, ResponseError) else self._cluster.parse(args, options, answer)
            for (args, options), answer in zip(stack, answers, strict=True)
        ]


@functools.lru_cache(maxsize=4)
def shared_client(url: str) -> ClusterClient:
    """The one client of this process for an address. Raises ``redis.ConnectionError``."""
    return connect(url, conf.READ_TIMEOUT)


def connect(url: str, timeout: float) -> ClusterClient:
    """A new client that waits ``timeout`` seconds for an answer. Raises ``redis.ConnectionError``.

    ``url``: ``redis://user:password@host:port[,host:port…]``; any node that answers will do.
    """
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    first, *others = hosts.split(",")
    start = [_node(*split_host(host)) for host in others]
    try:
        client: Any = ClusterClient.from_url(
            urlunsplit(parts._replace(netloc=f"{credentials}{at}{first}")),
            startup_nodes=start,
            socket_connect_timeout=conf.CONNECT_TIMEOUT,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 1),
            # A shard that is lost takes its own sessions with it, and nobody else's.
            require_full_coverage=False,
        )
    except (RedisClusterException, OSError) as error:
        raise _as_redis_error(error) from error
    client.start = tuple(split_host(host) for host in hosts.split(","))
    return cast(ClusterClient, client)


def split_host(text: str) -> tuple[str, int]:
    """Host and port of ``host[:port]``. Raises ``ValueError``."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError("Not a host.")
    return parts.hostname, parts.port or 6379


def _is_plain(args: Command) -> bool:
    """Whether a command has one key, which is where we think."""
    if args[0] in {"EVAL", "EVALSHA"}:
        return bool(args[2] == 1)
    return args[0] in _KEY_AT and (len(args) == 2 or args[0] not in {"EXISTS", "UNLINK", "DEL"})


def _node(host: str, port: int) -> ClusterNode:
    node: ClusterNode = ClusterNode(host, port)  # type: ignore[no-untyped-call]
    return node


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as refusal:
        return refusal


def _as_redis_error(error: Exception) -> RedisError:
    """What ``store`` understands. A time-out is one node's, and must not look like one of the whole store;
    redis-py's exceptions of a cluster are no ``RedisError``, and mean the same as one."""
    if isinstance(error, RedisError) and not isinstance(error, TimeoutError):
        return error
    return ConnectionError(type(error).__name__)
