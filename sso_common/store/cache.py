"""``CACHES["sso"]``: the connection factories for django-redis."""

from __future__ import annotations

from typing import Any

from django.core.cache import InvalidCacheBackendError, caches
from django_redis.cache import RedisCache
from django_redis.pool import ConnectionFactory as DjangoRedisConnectionFactory
from redis.backoff import NoBackoff
from redis.retry import Retry

from .topology import ClusterClient, shared_client


class ConnectionFactory(DjangoRedisConnectionFactory):  # type: ignore[misc]  # it has no types
    """Makes connections to a single server, with one retry.

    redis-py's own default waits up to ten seconds between three retries.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        pool_options = {"retry": Retry(NoBackoff(), 1), **options.get("CONNECTION_POOL_KWARGS", {})}
        super().__init__({**options, "CONNECTION_POOL_KWARGS": pool_options})


class ClusterConnectionFactory(DjangoRedisConnectionFactory):  # type: ignore[misc]  # it has no types
    """Makes the cluster's client, so that the cache works like any other."""

    def connect(self, url: str) -> ClusterClient:
        """The one client of this process."""
        return shared_client(url)

    def disconnect(self, connection: ClusterClient) -> None:
        """Close its connections; the next command opens new ones."""
        connection.disconnect_connection_pools()  # type: ignore[no-untyped-call]


def is_django_redis_cache(alias: str) -> bool:
    """Whether a cache is one of django-redis."""
    try:
        return isinstance(caches[alias], RedisCache)
    except InvalidCacheBackendError:
        return False
