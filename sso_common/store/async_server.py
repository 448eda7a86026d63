"""A single Redis server, asked by the requests of one event loop. ``server`` is the same for threads."""

from __future__ import annotations

from typing import Any, Final

import redis
import redis.asyncio.connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sso_common import conf
from sso_common.flows import Commands

from .link import Link
from .server import FAILURES

#: What makes redis-py's connections -> what makes them for an event loop.
ASYNC_CLASSES: Final[dict[type, type]] = {
    redis.connection.Connection: redis.asyncio.connection.Connection,
    redis.connection.SSLConnection: redis.asyncio.connection.SSLConnection,
    redis.connection.UnixDomainSocketConnection: redis.asyncio.connection.UnixDomainSocketConnection,
}
#: Options of a connection that hold for both; as are all that start with "ssl_".
OPTIONS: Final = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name"}
    | {"protocol", "driver_info", "lib_name", "lib_version"}
    | {"socket_keepalive", "socket_keepalive_options", "socket_type", "socket_read_size"}
)


class AsyncServer:
    """Keeps one connection open. It belongs to the event loop that first sends a command.

    Raises ``NotImplementedError`` for connections that redis-py does not have for event loops.
    """

    def __init__(
        self, pool: redis.ConnectionPool, repeats: type[Exception] | tuple[type[Exception], ...] = FAILURES
    ) -> None:
        self._pool = pool
        self._repeats = repeats
        self._link: Link | None = None
        try:
            self._connect()
        except (KeyError, TypeError) as error:
            raise NotImplementedError(str(pool.connection_class)) from error

    async def ask(self, commands: Commands) -> list[Any]:
        """Send commands in one write and return their answers, as ``Server.ask`` does."""
        try:
            return await self._usable_link().ask(commands)
        except self._repeats:
            return await self._usable_link().ask(commands)

    def forget(self) -> None:
        """Use another connection from now on."""
        if self._link is not None:
            self._link.retire()
            self._link = None

    def _usable_link(self) -> Link:
        if self._link is None or not self._link.is_usable:
            patience = self._pool.connection_kwargs.get("socket_timeout") or conf.READ_TIMEOUT
            self._link = Link(self._connect(), patience)
        return self._link

    def _connect(self) -> Any:
        given = self._pool.connection_kwargs
        shared = {name: given[name] for name in given if name in OPTIONS or name.startswith("ssl_")}
        # The link limits the time, and this class tries again.
        limits = {"socket_timeout": None, "socket_connect_timeout": None, "retry": Retry(NoBackoff(), 0)}
        return ASYNC_CLASSES[self._pool.connection_class](**shared, **limits)
