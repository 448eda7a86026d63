"""Wakes the sites that follow the feed, so that they do not wait for their next poll."""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import receiver

from portal.accounts import versions
from portal.accounts.announcements import users_changed
from sso_common import store
from sso_common.exceptions import StoreUnavailable
from sso_common.flows import Flow

logger = logging.getLogger("portal.feed")


@receiver(users_changed, dispatch_uid="feed.wake_sites")
def wake_sites(**_: Any) -> None:
    try:
        store.run(add_user_event(versions.head()))
    except StoreUnavailable as error:
        # The sites also poll.
        logger.warning("The sites were not woken: %s", error)


def add_user_event(version: int) -> Flow[None]:
    """Add an event to the stream. It names no user, because all sites can read it."""
    store.checked((yield [store.event("user", version=version)]))
