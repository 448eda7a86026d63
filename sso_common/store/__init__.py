"""Redis. This package is the only one that imports redis or django-redis.

``names`` has the keys, ``sessions`` and ``events`` what is read and written. ``connection`` sends it from
threads and ``loops`` from event loops, to a single server or a cluster; ``outage`` is when Redis counts as
unavailable.
"""

from .cache import is_django_redis_cache
from .connection import answering, ask, checked, client, is_failure, outage, ping, run
from .events import EVENTS_KEPT, event, wait_for_user_event
from .loops import aask
from .names import ANNOUNCED, MARKER, anonymous_key, events_key, identity_key, nonce_key, site_key, user_key
from .scripts import Script
from .sessions import (
    Adoption,
    Changes,
    StoredSession,
    adopt_anonymous,
    announce_once,
    anonymous_exists,
    claim_anonymous,
    delete_anonymous,
    delete_site_session,
    end_session,
    extend_session,
    forget_announcement,
    read_anonymous,
    read_session,
    save_anonymous,
    save_site_session,
)

__all__ = [
    "ANNOUNCED",
    "EVENTS_KEPT",
    "MARKER",
    "Adoption",
    "Changes",
    "Script",
    "StoredSession",
    "aask",
    "adopt_anonymous",
    "announce_once",
    "anonymous_exists",
    "anonymous_key",
    "answering",
    "ask",
    "checked",
    "claim_anonymous",
    "client",
    "delete_anonymous",
    "delete_site_session",
    "end_session",
    "event",
    "events_key",
    "extend_session",
    "forget_announcement",
    "identity_key",
    "is_django_redis_cache",
    "is_failure",
    "nonce_key",
    "outage",
    "ping",
    "read_anonymous",
    "read_session",
    "run",
    "save_anonymous",
    "save_site_session",
    "site_key",
    "user_key",
    "wait_for_user_event",
]
