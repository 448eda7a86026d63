"""Check of CACHES["sso"], through which the site reaches Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from sso_common import conf
from sso_common.store import is_django_redis_cache

from .keys import valid_dsn
from .messages import Messages, check, error, warning

WRITE = (
    'Write in the settings, after `from sso_common import conf as sso`: CACHES["sso"] = sso.cache() '
    '(if there is no CACHES yet: CACHES = {"default": '
    '{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, "sso": sso.cache()})'
)


@check
def check_cache() -> Messages:
    """CACHES["sso"] is django-redis with the address of SSO_DSN and short time limits."""
    entry = settings.CACHES.get(conf.CACHE_ALIAS)
    if entry is None:
        yield error("E016", 'CACHES has no entry "sso".', WRITE)
    elif not is_django_redis_cache(conf.CACHE_ALIAS):
        yield error("E017", f'CACHES["sso"] is {entry.get("BACKEND")!r}, which is not django-redis.', WRITE)
    else:
        yield from wrong_connection(entry)


def wrong_connection(entry: Mapping[str, Any]) -> Messages:
    """Report how an entry of ``CACHES`` connects to Redis otherwise than ``conf.cache()``."""
    dsn = valid_dsn()
    options = entry.get("OPTIONS", {})
    if dsn is not None and entry.get("LOCATION") not in (dsn.redis_login_url, [dsn.redis_login_url]):
        yield error("E018", 'The LOCATION of CACHES["sso"] is not the Redis address in SSO_DSN.', WRITE)
    if options.get("CONNECTION_POOL_KWARGS", {}).get("decode_responses"):
        yield error(
            "E025",
            'CACHES["sso"] sets decode_responses, but sessions are bytes.',
            'Remove decode_responses from CACHES["sso"]["OPTIONS"]["CONNECTION_POOL_KWARGS"].',
        )
    if names := missing_limits(options):
        yield warning(
            "W004",
            f'In CACHES["sso"], a time limit is missing or too long ({", ".join(names)}): while Redis hangs, '
            "requests hang too.",
            WRITE,
        )


def missing_limits(options: Mapping[str, Any]) -> list[str]:
    """Name the options that let a command wait longer than ``conf.cache()`` does."""
    limits = {"SOCKET_CONNECT_TIMEOUT": conf.CONNECT_TIMEOUT, "SOCKET_TIMEOUT": conf.READ_TIMEOUT}
    names = [name for name, limit in limits.items() if not 0 < (options.get(name) or 0) <= limit]
    is_ours = str(options.get("CONNECTION_FACTORY")).startswith("sso_common.")
    if not is_ours and "retry" not in options.get("CONNECTION_POOL_KWARGS", {}):
        names.append("CONNECTION_FACTORY")
    return names
