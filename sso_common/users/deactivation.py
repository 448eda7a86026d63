"""Deactivates the users of subjects that the feed no longer has."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.db import router

from sso_common.database import atomically
from sso_common.models import Account, FeedCursor

from .fields import has_field
from .saving import update_users

logger = logging.getLogger("sso_common.users")


def deactivate_accounts(subs: Iterable[uuid.UUID]) -> int:
    """Deactivate the local users of subjects that the feed no longer has.

    Keeps their data, so the next ``sso_sync --full`` can undo a mistake. A receiver of a signal that
    fails is logged, and keeps nobody active. Returns how many were active.
    """
    subs = list(subs)
    try:
        return deactivate(subs, announce=True)
    except Exception:
        if len(subs) > 1:
            return sum(deactivate_accounts([sub]) for sub in subs)
        logger.exception("A receiver of a signal failed for %s, who is deactivated anyway", subs[0])
        return deactivate(subs, announce=False)


def deactivate(subs: list[uuid.UUID], *, announce: bool) -> int:
    """Deactivate accounts and their users, with or without the signals of ``Model.save``."""
    using = router.db_for_write(Account)

    def run() -> int:
        FeedCursor.lock()
        Account.lock(subs)
        rows = Account._default_manager.using(using).filter(pk__in=subs, is_active=True)
        users = [account.user for account in rows.select_related("user") if account.user is not None]
        names = [name for name in ("is_active", "is_staff") if has_field(get_user_model(), name)]
        if announce:
            for user in users:
                for name in names:
                    setattr(user, name, False)
            update_users([(user, names) for user in users], using)
        elif names:
            stored = get_user_model()._base_manager.using(using).filter(pk__in=[user.pk for user in users])
            stored.update(**dict.fromkeys(names, False))
        return rows.update(is_active=False)

    return atomically(using, run)
