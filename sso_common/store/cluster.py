"""A Redis Cluster, asked by threads. ``routing`` decides what is sent where."""

from __future__ import annotations

import time
from typing import Any, assert_never

import redis

from sso_common import flows
from sso_common.flows import Commands

from .routing import Exchange, Pause, Refresh, Step, route
from .server import Server, finish
from .topology import ClusterClient


class Cluster:
    """The nodes of a cluster, used like one ``Server``."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._servers: dict[str, Server] = {}

    def ask(self, commands: Commands) -> list[Any]:
        """Send commands of one key each, in one round trip to each node; see ``routing.route``."""
        return flows.run(route(self._client, commands), self._carry_out)

    def ping(self) -> None:
        """Return when a node answers this Redis user. Raises ``redis.RedisError``."""
        self._client.ping()

    def forget(self) -> None:
        """Close all connections that are not in use."""
        for server in list(self._servers.values()):
            server.forget()

    def _carry_out(self, step: Step) -> Any:
        match step:
            case Exchange():
                return self._exchange(step)
            case Refresh():
                return self._client.refresh_within(step.seconds)
            case Pause():
                return time.sleep(step.seconds)
        assert_never(step)

    def _exchange(self, step: Exchange) -> dict[str, list[Any]]:
        """Send to all nodes before reading from the first one."""
        outages = self._client.outages
        for name in step.batches:
            outages[name].check()
        exchanges = {name: self._server(name).exchange(commands) for name, commands in step.batches.items()}
        answers = {}
        try:
            for name, exchange in exchanges.items():  # noqa: B007  used after a time-out
                next(exchange)
            for name, exchange in exchanges.items():
                answers[name] = finish(exchange)
                outages[name].end()
        except redis.TimeoutError:
            outages[name].begin()
            raise
        finally:
            for exchange in exchanges.values():
                exchange.close()
        return answers

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            # Without a retry after a time-out: a replica may have taken over by then.
            self._servers.setdefault(name, Server(self._client.pool(name), repeats=redis.ConnectionError))
        return self._servers[name]
