"""The connection to Redis: sends commands, and decides what counts as unavailable."""

from __future__ import annotations

import functools
import os
from typing import Any, Final, Protocol, TypeVar, cast

import redis
from django.core.signals import setting_changed
from django.dispatch import receiver
from django_redis import get_redis_connection
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sso_common import conf, flows
from sso_common.exceptions import StoreRefused, StoreUnavailable
from sso_common.flows import Commands, Flow

from .cluster import Cluster
from .outage import Outage
from .server import Server
from .topology import shared_client

T = TypeVar("T")

#: Of a single server. A cluster's client has one for each node.
outage: Final = Outage()


def client() -> redis.Redis:
    """The client of this process. It reads from the primary only: a replica may not yet know that a
    session has ended.
    """
    return client_of_process(os.getpid())


def server() -> Server | Cluster:
    """Return the server or cluster that receives commands."""
    return server_of_process(os.getpid())


# By process: a child must not share its parent's connections. Python's at-fork hooks would not do, because
# uWSGI does not run them.
@functools.lru_cache(maxsize=1)
def client_of_process(pid: int) -> redis.Redis:
    """See ``client``. It is cached because under ASGI, Django's cache handler makes one for each request."""
    dsn = conf.dsn()
    if dsn.is_cluster:
        return cast(redis.Redis, shared_client(dsn.redis_login_url))  # it has the same commands
    single: redis.Redis = get_redis_connection(conf.CACHE_ALIAS)
    return single


@functools.lru_cache(maxsize=1)
def server_of_process(pid: int) -> Server | Cluster:
    """See ``server``."""
    dsn = conf.dsn()
    if dsn.is_cluster:
        return Cluster(shared_client(dsn.redis_login_url))
    return Server(client().connection_pool)


@receiver(setting_changed, dispatch_uid="sso_common.store")
def forget_client(*, setting: str, **kwargs: Any) -> None:
    """Connect again after a test has changed the settings."""
    if setting in {conf.DSN_VARIABLE, "CACHES"}:
        if server_of_process.cache_info().currsize:
            server().forget()
        client_of_process.cache_clear()
        server_of_process.cache_clear()


class Forgetful(Protocol):
    """What keeps connections open."""

    def forget(self) -> None: ...


class answering:  # noqa: N801  used like contextlib.suppress
    """Turn every failure of Redis into ``StoreUnavailable``."""

    def __enter__(self) -> None:
        outage.check()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RedisTimeoutError):
            outage.begin()
        elif error is None:
            outage.end()
        if isinstance(error, ResponseError):
            raise refused(error) from error
        if isinstance(error, (RedisError, OSError)):
            # Name the class only: the message may quote the arguments of a command.
            raise StoreUnavailable(type(error).__name__) from error


def ask(commands: Commands) -> list[Any]:
    """Send commands of one key each in one round trip and return their answers.

    An answer may be a ``ResponseError``. A command may be sent twice, if the connection breaks. Raises
    ``StoreUnavailable``.
    """
    with answering():
        current = server()
        return heeded(current.ask(commands), current)


def heeded(answers: list[Any], forgetful: Forgetful) -> list[Any]:
    """Return the answers, and connect again if the primary has become a replica.

    The open connections to it would be used forever; new ones reach the server that has the address now.
    """
    for answer in answers:
        if isinstance(answer, ReadOnlyError):
            forgetful.forget()
    return answers


def checked(answers: list[Any]) -> list[Any]:
    """Return the answers, or raise ``StoreRefused`` for the first one that is a refusal."""
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise refused(answer) from answer
    return answers


def refused(error: ResponseError) -> StoreRefused:
    """The exception for a refused command (authentication, ACL, out of memory, read-only replica).

    A refusal is a failure like any other: it does not say whether a session exists.
    """
    return StoreRefused(type(error).__name__)


def run(flow: Flow[T]) -> T:
    """Carry out a flow outside of a request. Raises ``StoreUnavailable``."""
    return flows.run(flow, ask)


def is_failure(error: Exception) -> bool:
    """Whether an exception is Redis's, as raised by code that uses the cache directly."""
    return isinstance(error, RedisError)


def ping() -> None:
    """Return when Redis answers this user. Raises ``StoreUnavailable``."""
    with answering():
        server().ping()
