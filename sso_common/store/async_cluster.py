"""A Redis Cluster, asked by the requests of one event loop. ``routing`` decides what is sent where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, assert_never

import redis

from sso_common import flows
from sso_common.flows import Commands

from .async_server import AsyncServer
from .routing import Exchange, Pause, Refresh, Step, route
from .topology import START_TIMEOUT, ClusterClient, started


class AsyncCluster:
    """The nodes of a cluster, used like one ``AsyncServer``."""

    def __init__(self, start: Callable[[], Future[ClusterClient]]) -> None:
        self._start = start
        self._servers: dict[str, AsyncServer] = {}

    async def ask(self, commands: Commands) -> list[Any]:
        """Send commands of one key each, in one round trip to each node; see ``routing.route``."""
        starting = self._start()
        if not starting.done():
            await wait(starting, START_TIMEOUT)
        client = started(starting)

        async def carry_out(step: Step) -> Any:
            match step:
                case Exchange():
                    return await self._exchange(client, step)
                case Refresh():
                    return await wait(client.refreshing(), step.seconds)
                case Pause():
                    return await asyncio.sleep(step.seconds)
            assert_never(step)

        return await flows.arun(route(client, commands), carry_out)

    def forget(self) -> None:
        """Use other connections from now on."""
        for server in self._servers.values():
            server.forget()

    async def _exchange(self, client: ClusterClient, step: Exchange) -> dict[str, list[Any]]:
        """Send to all nodes before reading from the first one."""
        for name in step.batches:
            client.outages[name].check()
        asked = [self._ask(client, name, commands) for name, commands in step.batches.items()]
        answers = await asyncio.gather(*asked) if len(asked) > 1 else [await asked[0]]
        return dict(zip(step.batches, answers, strict=True))

    async def _ask(self, client: ClusterClient, name: str, commands: Commands) -> list[Any]:
        if name not in self._servers:
            # Without a retry after a time-out: a replica may have taken over by then.
            self._servers[name] = AsyncServer(client.pool(name), repeats=redis.ConnectionError)
        outage = client.outages[name]
        try:
            answers = await self._servers[name].ask(commands)
        except redis.TimeoutError:
            outage.begin()
            raise
        outage.end()
        return answers


async def wait(done: Future[Any], seconds: float) -> bool:
    """Wait, for so many seconds at most. Return whether that was enough."""
    await asyncio.wait({asyncio.wrap_future(done)}, timeout=seconds)
    return done.done()
