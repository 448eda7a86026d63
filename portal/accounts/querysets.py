"""The queryset and the manager of users: writes that do not call ``User.save``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import BaseUserManager
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from portal.batches import batches

from . import versions
from .addresses import forget_former_addresses, verified_address
from .announcements import notify_after_commit, send_account_changed
from .fields import AUDITED, VISIBLE

if TYPE_CHECKING:
    from .models import User


def later_than(not_before: Any, now: float) -> Any:
    """Return a new ``not_before``, later than every ``auth_time`` that was issued up to now.

    Works with numbers and with expressions. An ``auth_time`` is a whole second and never earlier than
    the user's ``not_before``. So the result also ends sessions that began in this second, or between
    two sign-outs in it.
    """
    if isinstance(not_before, int):
        return max(not_before, int(now)) + 1
    return Greatest(not_before, models.Value(int(now))) + 1


class UserQuerySet(models.QuerySet["User"]):
    """Allocates versions for writes to many users."""

    def update(self, **kwargs: Any) -> int:
        """As Django's. Also ends sessions if it deactivates users or moves ``not_before``."""
        if "version" in kwargs:
            raise ValueError("Versions are allocated, never set; see portal.accounts.versions.")
        audited = AUDITED & kwargs.keys()
        if not VISIBLE & kwargs.keys() and not audited:
            return super().update(**kwargs)
        self._for_write = True
        using = self.db
        if "not_before" in kwargs:
            # Moving it back would revive sessions that have ended.
            kwargs["not_before"] = Greatest(F("not_before"), kwargs["not_before"])
        with transaction.atomic(using=using):
            versions.lock(using)
            before = {row["pk"]: row for row in self.using(using).order_by().values("pk", *audited)}
            if VISIBLE & kwargs.keys():
                count = self._update_with_versions(using, list(before), kwargs)
            else:
                count = super().update(**kwargs)
            if audited:
                self._send_changes(using, before, audited)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def _update_with_versions(self, using: str, subs: list[uuid.UUID], values: dict[str, Any]) -> int:
        count = 0
        for batch, version in versions.version_batches(subs, using):
            rows = self.using(using).filter(pk__in=batch)
            count += super(UserQuerySet, rows).update(**values, version=version)
            self._apply_consequences(using, batch, values)
        notify_after_commit(using, changed=subs, ended=subs if "not_before" in values else ())
        return count

    def _apply_consequences(self, using: str, subs: Collection[uuid.UUID], written: dict[str, Any]) -> None:
        """Update fields that follow from others. The rows already have new versions."""
        rows = models.QuerySet(self.model, using=using).filter(pk__in=subs)
        if "email" in written:
            if "email_verified" not in written:
                rows.update(email_verified=verified_address())
            forget_former_addresses(subs, using)
        if "is_active" in written and written["is_active"] is not True:
            ended = list(rows.filter(is_active=False).values_list("pk", flat=True))
            rows.filter(pk__in=ended).update(not_before=later_than(F("not_before"), time.time()))
            notify_after_commit(using, ended=ended)

    def _send_changes(
        self, using: str, before: dict[uuid.UUID, dict[str, Any]], names: Collection[str]
    ) -> None:
        for batch in batches(before):
            rows = models.QuerySet(self.model, using=using).filter(pk__in=batch)
            for row in rows.order_by().values("pk", *names):
                send_account_changed(row["pk"], before[row["pk"]], row)

    def bulk_create(
        self,
        objs: Iterable[User],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[User]:
        """As Django's. An update of conflicting rows writes their new version too."""
        objs = list(objs)
        if not objs:
            return objs
        self._for_write = True
        using = self.db
        updated = [*update_fields, "version"] if update_fields else None
        with transaction.atomic(using=using):
            allocated = versions.allocate(len(objs), using)
            for user, version in zip(objs, allocated, strict=True):
                user.version = version
            created = super().bulk_create(
                objs, batch_size, ignore_conflicts, update_conflicts, updated, unique_fields
            )
            # Not the subjects of ``objs``: a row that existed already has kept its own.
            rows = self.model._base_manager.using(using).filter(version__gte=allocated[0])
            notify_after_commit(using, changed=rows.values_list("pk", flat=True))
            if "is_active" in (updated or ()):
                written = self.model.objects.using(using).filter(version__gte=allocated[0])
                written.filter(is_active=False).update(is_active=False)
        return created

    def refresh_email_verified(self, sub: uuid.UUID) -> None:
        """Bring ``email_verified`` in step with allauth's addresses."""
        rows = self.filter(pk=sub)
        stale = rows.annotate(_verified=verified_address()).exclude(email_verified=F("_verified"))
        for verified in stale.values_list("_verified", flat=True):
            rows.update(email_verified=verified)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Creates users together with their email address, so that they can sign in at once."""

    def create_user(
        self,
        username: str,
        email: str,
        password: str | None = None,
        *,
        email_verified: bool = False,
        **fields: Any,
    ) -> User:
        """Create a user. Without a password, the user has to set one by email first."""
        from allauth.account.models import EmailAddress  # loaded after this module

        if not username or not email:
            raise ValueError("A user needs a username and an email address.")
        user = self.model(
            username=self.model.normalize_username(username), email=self.normalize_email(email), **fields
        )
        user.set_password(password)
        with transaction.atomic(using=self.db):
            user.save(using=self.db)
            EmailAddress.objects.using(self.db).create(
                user=user, email=user.email.lower(), verified=email_verified, primary=True
            )
        user.refresh_from_db(fields=["email_verified", "version"])
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a user who may do everything at the portal. At the sites, roles decide."""
        rights = {"is_staff": True, "is_superuser": True}
        return self.create_user(username, email, password, **{"email_verified": True} | fields | rights)

    def get_by_natural_key(self, username: str | None) -> User:
        """Usernames are unique regardless of case."""
        return self.get(username__iexact=username)
