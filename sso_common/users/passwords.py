"""Passwords of this site. Users who are linked to a subject have none: the portal could neither change nor
end it.

Superusers keep theirs, for the login form for emergencies (``/admin/login/?local``): it may be the last way
in. Where ``SSO_LOCAL_LOGIN`` is set, all users keep theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import models, router, transaction

from sso_common import conf
from sso_common.models import Account, FeedCursor

from .fields import has_field

logger = logging.getLogger("sso_common.users")

#: Users per transaction.
BATCH: Final = 500


def is_superuser(user: Any) -> bool:
    """Whether a user is a superuser. Not every user model knows them."""
    return bool(getattr(user, "is_superuser", False))


def has_surplus_password(user: Any) -> bool:
    """Whether a user who is linked to a subject has a password that must be removed. Reads nothing."""
    return user.has_usable_password() and not is_superuser(user) and not conf.local_login()


def linked_users_with_password() -> models.QuerySet[Any]:
    """The users who are linked to a subject and have a password, superusers included."""
    users = get_user_model()._base_manager.using(router.db_for_write(Account))
    return users.filter(sso_account__isnull=False).exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)


def count_passwords() -> tuple[int, int]:
    """How many linked users have a password that must be removed, and how many superusers keep theirs."""
    users = linked_users_with_password()
    count, kept = users.count(), 0
    if has_field(users.model, "is_superuser"):
        kept = users.filter(is_superuser=True).count()
    return (0 if conf.local_login() else count - kept), kept


def remove_passwords() -> int:
    """Make the passwords unusable that linked users must not have, and return how many.

    Sends no signals: some sites tell their users by email that their password was changed. If it is
    interrupted, the next call continues.
    """
    users, removed = linked_users_with_password().order_by("pk"), 0
    page = list(users[:BATCH])
    while page:
        surplus = [user for user in page if has_surplus_password(user)]
        with transaction.atomic(using=users.db):
            FeedCursor.lock()
            for user in surplus:
                user.set_unusable_password()
            removed += users.model._base_manager.using(users.db).bulk_update(surplus, ["password"])
        page = list(users.filter(pk__gt=page[-1].pk)[:BATCH])
    return removed


def keep_unusable(
    sender: Any, instance: Any, raw: bool = False, update_fields: Collection[str] | None = None, **kwargs: Any
) -> None:
    """Receive ``pre_save``: a form of this site may set a password, but not for a linked user.

    Only a user who is saved with a usable password costs a query.
    """
    if raw or not isinstance(instance, get_user_model()) or instance._state.adding:
        return
    if (update_fields is not None and "password" not in update_fields) or not has_surplus_password(instance):
        return
    accounts = Account._default_manager.using(router.db_for_write(Account))
    account = accounts.filter(user=instance.pk).first()
    if account is not None:
        instance.set_unusable_password()
        logger.warning(
            "Subject %s was to get a password of this site, and did not: the user signs in at the portal.",
            account.sub,
        )
