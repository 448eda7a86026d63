"""A Redis Cluster: sends commands to the nodes that hold their keys, in one round trip to each node.

redis-py's own client keeps the topology (``topology``). Its pipeline cannot send these commands, because
it would break three promises. A cluster that hangs would delay a request by 2.5 s; at most 1.5 s is
promised. After a time-out, every further request to the node would wait as well, where it must be refused
at once. And its pools check each connection before use, which takes as long as another round trip.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from sso_common.flows import Command, Commands

from .server import Server, finish
from .topology import REFRESH_TIMEOUT, ClusterClient, as_connection_error

#: Redirections in a row. More than this means that two nodes refer to each other.
HOPS: Final = 3
#: Seconds to wait while the keys of a command are on two nodes.
TRY_AGAIN: Final = 0.02


class Cluster:
    """The nodes of a cluster, used like one ``Server``."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._servers: dict[str, Server] = {}

    def ask(self, commands: Commands) -> list[Any]:
        """Send commands of one key each and return their answers; a refusal is an answer, too.

        The commands may run twice. Raises ``redis.ConnectionError``, or ``StoreUnavailable`` if a node
        timed out less than a second ago.
        """
        names = self._holders(commands)
        try:
            return self._ask(names, commands)
        except (redis.RedisError, OSError) as error:
            # Try again only if another node has taken over.
            if not self._client.refresh_within(REFRESH_TIMEOUT) or self._holders(commands) == names:
                raise as_connection_error(error) from error
        try:
            return self._ask(self._holders(commands), commands)
        except (redis.RedisError, OSError) as error:
            raise as_connection_error(error) from error

    def ping(self) -> None:
        """Return when a node answers this Redis user. Raises ``redis.RedisError``."""
        self._client.ping()

    def forget(self) -> None:
        """Close all connections that are not in use."""
        for server in list(self._servers.values()):
            server.forget()

    def _holders(self, commands: Commands) -> list[str]:
        return [self._client.holder(command) for command in commands]

    def _ask(self, names: list[str], commands: Commands) -> list[Any]:
        pairs = list(zip(names, commands, strict=True))
        batches: defaultdict[str, list[Command]] = defaultdict(list)
        for name, command in pairs:
            batches[name].append(command)
        answers = self._exchange(batches)
        return [self._follow(name, command, next(answers[name])) for name, command in pairs]

    def _exchange(self, batches: Mapping[str, Commands]) -> dict[str, Iterator[Any]]:
        """Send to all nodes before reading from the first one. Return the answers by node."""
        outages = self._client.outages
        for name in batches:
            outages[name].check()
        exchanges = {name: self._server(name).exchange(commands) for name, commands in batches.items()}
        answers = {}
        try:
            for name, exchange in exchanges.items():  # noqa: B007  used after a time-out
                next(exchange)
            for name, exchange in exchanges.items():
                answers[name] = iter(finish(exchange))
                outages[name].end()
        except redis.TimeoutError:
            outages[name].begin()
            raise
        finally:
            for exchange in exchanges.values():
                exchange.close()
        return answers

    def _follow(self, name: str, command: Command, answer: Any) -> Any:
        """Return the answer of the node to which ``name`` refers: the slot has moved, or is being moved."""
        for _ in range(HOPS):
            if isinstance(answer, ClusterDownError):
                self._client.refresh_within(0)
            if not isinstance(answer, (AskError, TryAgainError)):  # a MovedError is an AskError, too
                break
            ahead: list[Command] = []
            if isinstance(answer, TryAgainError):
                time.sleep(TRY_AGAIN)
            else:
                if isinstance(answer, MovedError):
                    self._client.refresh_within(REFRESH_TIMEOUT)
                else:
                    ahead = [("ASKING",)]
                name = f"{answer.host or name.rpartition(':')[0]}:{answer.port}"
            *_, answer = self._exchange({name: [*ahead, command]})[name]
        return answer

    def _server(self, name: str) -> Server:
        if not name:
            raise redis.ConnectionError("No node holds this slot.")
        if name not in self._servers:
            # Without a retry after a time-out: a replica may have taken over by then.
            self._servers.setdefault(name, Server(self._client.pool(name), repeats=redis.ConnectionError))
        return self._servers[name]
