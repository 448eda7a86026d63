"""Sends the commands of async code, over connections that belong to the running event loop."""

from __future__ import annotations

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from asgiref.sync import AsyncToSync
from django.core.signals import setting_changed
from django.dispatch import receiver

from sso_common import conf
from sso_common.flows import Commands

from .async_cluster import AsyncCluster
from .async_server import AsyncServer
from .connection import answering, ask, client, heeded
from .topology import start_client

#: Threads that send commands for loops without connections of their own; see ``find_server``.
THREADS: Final = 16


async def aask(commands: Commands) -> list[Any]:
    """``ask`` for async code. Waits on the event loop, without a thread."""
    own = own_server()
    if own is None:
        return await asyncio.wrap_future(threads(os.getpid()).submit(ask, commands))
    with answering():
        return heeded(await own.ask(commands), own)


def own_server() -> AsyncServer | AsyncCluster | None:
    """The server as the running event loop asks it. None if a thread has to ask it."""
    loop = asyncio.get_running_loop()
    if loop in AsyncToSync.loop_thread_executors:
        # It was made for one call of async_to_sync, such as an async view under WSGI, and ends after it.
        # Connecting takes longer than a thread.
        return None
    servers = servers_by_loop(os.getpid())
    if loop not in servers:
        for closed in [each for each in list(servers) if each.is_closed()]:
            servers.pop(closed, None)
        servers[loop] = find_server()
    return servers[loop]


# A forked child keeps those of its parent, and never touches them: to close one would remove it from the
# selector, which parent and child share.
@functools.cache
def servers_by_loop(pid: int) -> dict[asyncio.AbstractEventLoop, AsyncServer | AsyncCluster | None]:
    """The servers of all event loops of a process."""
    return {}


def find_server() -> AsyncServer | AsyncCluster | None:
    """The server for a new event loop, or None if redis-py has its connections for threads only
    (Sentinel)."""
    dsn = conf.dsn()
    if dsn.is_cluster:
        return AsyncCluster(functools.partial(start_client, dsn.redis_login_url))
    try:
        return AsyncServer(client().connection_pool)
    except NotImplementedError:
        return None


@functools.lru_cache(maxsize=1)
def threads(pid: int) -> ThreadPoolExecutor:
    """Threads of this package only: nobody else's work makes a request wait."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="sso_common")


@receiver(setting_changed, dispatch_uid="sso_common.store.loops")
def forget_servers(*, setting: str, **kwargs: Any) -> None:
    """Connect again after a test has changed the settings."""
    if setting in {conf.DSN_VARIABLE, "CACHES"}:
        servers = servers_by_loop(os.getpid())
        for loop, own in list(servers.items()):
            if own is not None and not loop.is_closed():
                loop.call_soon_threadsafe(own.forget)
        servers.clear()
