"""The user: the row from which every site's view of a person comes.

Every write that changes what a site can see allocates a new ``version`` in the same transaction; see
``versions``. Writes that bypass ``User.save`` are in ``querysets``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from typing import Any, Self

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models, router, transaction
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sso_common.snapshot import UserSnapshot, display_name

from . import versions
from .addresses import forget_former_addresses, has_verified_address
from .announcements import notify_after_commit, send_account_changed
from .fields import AUDITED, RIGHTS, TRACKED, VISIBLE
from .imported import ImportedAccount
from .querysets import UserManager, later_than
from .versions import Tombstone, VersionCounter

__all__ = ["ImportedAccount", "Tombstone", "User", "VersionCounter"]


class User(AbstractBaseUser, PermissionsMixin):
    """A person. ``sub`` is permanent and the same at every site."""

    sub = models.UUIDField(_("subject"), primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        _("username"),
        max_length=150,
        unique=True,
        validators=[UnicodeUsernameValidator()],
        error_messages={"unique": _("This username is taken.")},
    )
    email = models.EmailField(_("email address"))
    #: Kept in step with allauth's ``EmailAddress`` by ``receivers``.
    email_verified = models.BooleanField(_("email address verified"), default=False, editable=False)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("Inactive users cannot sign in. Deactivate accounts instead of deleting them."),
    )
    is_staff = models.BooleanField(
        _("portal staff"), default=False, help_text=_("Can open the portal's administration.")
    )
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)
    not_before = models.BigIntegerField(
        _("sessions end before"),
        default=0,
        editable=False,
        help_text=_("In seconds since 1970. Sessions that began earlier have ended."),
    )
    version = models.BigIntegerField(_("version"), unique=True, editable=False)

    objects = UserManager()

    #: The tracked fields as they were loaded.
    _known: dict[str, Any] = {}

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        ordering = ["username"]
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="one_user_per_username",
                violation_error_message=_("This username is taken."),
            ),
            models.UniqueConstraint(
                Lower("email"),
                name="one_user_per_email",
                violation_error_message=_("This email address is already in use."),
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        user = super().from_db(db, field_names, values, **options)  # Django 6.1 adds fetch_mode
        user._remember()
        return user

    def refresh_from_db(self, using: str | None = None, fields: Any = None, **kwargs: Any) -> None:
        fields = None if fields is None else list(fields)
        super().refresh_from_db(using=using, fields=fields, **kwargs)
        self._remember(TRACKED if fields is None else TRACKED & set(fields))

    def _remember(self, names: Collection[str] = TRACKED) -> None:
        known: dict[str, Any] = self.__dict__.setdefault("_known", {})
        known.update({name: self.__dict__[name] for name in names if name in self.__dict__})

    def save(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Save, with a new version if that changes what a site can see.

        Of the tracked fields, only those that were changed since they were loaded are written. So a
        stale copy neither undoes another process's change nor brings a deleted user back.
        """
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        kwargs["using"] = using
        with transaction.atomic(using=using):
            if self._state.adding:
                self.version = versions.next_version(using)
                super().save(**kwargs)
                notify_after_commit(using, changed=[self.pk], ended=[] if self.is_active else [self.pk])
                rights = {name: getattr(self, name) for name in RIGHTS}
                send_account_changed(self.pk, dict.fromkeys(RIGHTS, False), rights)
            else:
                self._save_changes(using, kwargs)
        self._remember()

    save.alters_data = True  # type: ignore[attr-defined]

    def _save_changes(self, using: str, kwargs: dict[str, Any]) -> None:
        written, dirty = self._fields_to_save(kwargs.get("update_fields"))
        before = self._lock_row(using) if dirty else None
        changed = self._prepare_changes(using, dirty, before) if before else set()
        visible = changed & VISIBLE
        kwargs["update_fields"] = written | changed | ({"version"} if visible else set())
        super().save(**kwargs)
        if "email" in changed:
            forget_former_addresses([self.pk], using)
        if visible:
            notify_after_commit(using, changed=[self.pk], ended=[self.pk] if "not_before" in changed else ())
        if before and changed & AUDITED:
            row = self._lock_row(using)  # the instance may hold expressions
            send_account_changed(self.pk, before, {name: row[name] for name in AUDITED} if row else {})

    def _fields_to_save(self, update_fields: Collection[str] | None) -> tuple[set[str], set[str]]:
        """Return all fields to write, and the tracked ones of them."""
        if update_fields is not None:
            written = set(update_fields) - {"version"}
            return written, written & TRACKED
        loaded = {each.name for each in self._meta.concrete_fields} - self.get_deferred_fields()
        dirty = {name for name in TRACKED & loaded if getattr(self, name) != self._known.get(name, ...)}
        return loaded - TRACKED - {"version", "sub"} | dirty, dirty

    def _lock_row(self, using: str) -> dict[str, Any] | None:
        """Lock the counter and read the row; None if it was deleted in the meantime."""
        versions.lock(using)
        return type(self)._base_manager.using(using).filter(pk=self.pk).values(*TRACKED).first()

    def _prepare_changes(self, using: str, names: set[str], before: dict[str, Any]) -> set[str]:
        """Compare fields with the row. Returns what changes, with its consequences."""
        # Moving it back would revive sessions that have ended.
        self.not_before = max(self.not_before, before["not_before"])
        changed = {name for name in names if getattr(self, name) != before[name]}
        if "email" in changed and "email_verified" not in changed:
            self.email_verified = has_verified_address(self, using)
            changed |= {"email_verified"}
        if "is_active" in changed and not self.is_active:
            self.not_before = later_than(self.not_before, time.time())
            changed |= {"not_before"}
        if changed & VISIBLE:
            self.version = versions.next_version(using)
        return changed

    @property
    def display_name(self) -> str:
        """The user's name for pages and emails."""
        return display_name(self.first_name, self.last_name, self.username)

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return self.first_name

    def to_snapshot(self, roles: frozenset[str] = frozenset()) -> UserSnapshot:
        """Return the user as a site sees them, with their roles at that site."""
        return UserSnapshot(
            sub=self.sub,
            version=self.version,
            username=without_nul(self.username),
            email=without_nul(self.email),
            email_verified=self.email_verified,
            first_name=without_nul(self.first_name),
            last_name=without_nul(self.last_name),
            is_active=self.is_active,
            not_before=self.not_before,
            roles=roles,
        )


def without_nul(text: str) -> str:
    """Remove NUL, which SQLite stores. A site would refuse the snapshot, and be stuck in the feed."""
    return text.replace("\x00", "")
