"""Tells the sites that there is something new in the feed, so that they need not wait for their poll.

In: ``users_changed``. Out: an event in the stream. It names nobody: the stream is one for all sites, and
a site that is open to members only must not learn of others.
"""

from __future__ import annotations

import logging
from typing import Any

from portal.accounts import versions
from portal.accounts.signals import users_changed
from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable

logger = logging.getLogger("portal.feed")


def connect() -> None:
    """Called once, when the app is ready."""
    users_changed.connect(_wake_sites, dispatch_uid="feed.wake_sites")


def _wake_sites(**_: Any) -> None:
    event = {"type": "user", "version": versions.head()}
    try:
        with store.answering():
            store.client().xadd(
                store.events_key(conf.namespace()), event, maxlen=store.EVENTS_KEPT, approximate=True
            )
    except StoreUnavailable as error:
        # The sites poll as well.
        logger.warning("Sites not woken: %s", error)
