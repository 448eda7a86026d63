"""What a site stores about the feed: one ``Account`` per subject, how its user was written, and how far the
site has read.

Only ``users`` and ``sync`` write these rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models, router
from django.db.models import F
from django.utils.translation import gettext_lazy as _

if not apps.is_installed("sso_common"):
    # No system check of sso_common would run. Each of its parts imports this module.
    raise ImproperlyConfigured('Write in the settings: INSTALLED_APPS += ["sso_common"]')


class Account(models.Model):
    """Links a subject to a local user, whatever the user's model and primary key are.

    ``user`` is empty only if ``SSO_HARD_DELETE`` has deleted the user. The account stays, so that
    an old identity record cannot bring the user back.
    """

    sub = models.UUIDField(_("subject"), primary_key=True, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        editable=False,
        related_name="sso_account",
        verbose_name=_("user"),
    )
    #: The version that was last applied.
    version = models.BigIntegerField(_("version"), editable=False)
    #: Seconds since the epoch. Sessions with an earlier ``auth_time`` have ended.
    not_before = models.BigIntegerField(_("sessions end before"), default=0, editable=False)
    is_active = models.BooleanField(_("active"), default=True, editable=False)
    #: A tombstone was applied: deleted at the portal, or no longer visible to this site.
    is_deleted = models.BooleanField(_("deleted"), default=False, editable=False)
    #: The fingerprint of the ``Mapping`` with which the user was last written, and when, in seconds since
    #: the epoch. The defaults in the database are for processes that run an older version of this package.
    mapping = models.CharField(_("mapping"), max_length=16, default="", db_default="", editable=False)
    mapped_at = models.BigIntegerField(_("mapped at"), default=0, db_default=0, editable=False)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.sub)

    @classmethod
    def lock(cls, subs: Iterable[uuid.UUID]) -> None:
        """Lock the accounts of these subjects until the transaction ends.

        All writers lock in the same order, so none of them waits for one that waits for it. Has no
        effect on SQLite, which locks all of a database.
        """
        rows = cls._default_manager.using(router.db_for_write(cls)).filter(pk__in=subs)
        list(rows.order_by("pk").select_for_update().values_list("pk"))


class Mapping(models.Model):
    """The settings and the mapper with which users were written: what roles gave them. A later mapping
    takes away what it does not give."""

    fingerprint = models.CharField(_("fingerprint"), max_length=16, primary_key=True, editable=False)
    #: Names of the groups in ``SSO_ROLE_GROUPS``.
    groups = models.JSONField(_("groups"), default=list, editable=False)
    #: {field that ``apply_roles`` sets: its value for a user without roles}
    withdrawn = models.JSONField(_("values without roles"), default=dict, editable=False)

    class Meta:
        verbose_name = _("mapping")
        verbose_name_plural = _("mappings")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.fingerprint


class FeedCursor(models.Model):
    """How far this site has read the feed. The table has one row."""

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW, editable=False)
    #: The last version that was applied, and the newest one at the portal when it last answered.
    position = models.BigIntegerField(_("position"), default=0, editable=False)
    head = models.BigIntegerField(_("head of the feed"), default=0, editable=False)
    #: When the portal's feed last answered.
    synced_at = models.DateTimeField(_("last answer"), null=True, editable=False)
    #: The fingerprint of the mapping with which all users were last written.
    mapping = models.CharField(_("mapping"), max_length=16, default="", db_default="", editable=False)

    class Meta:
        verbose_name = _("position in the feed")
        verbose_name_plural = _("positions in the feed")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.position}/{self.head}"

    @classmethod
    def load(cls) -> FeedCursor:
        """Return the row for reading, or an unsaved one if nothing has been synced yet."""
        rows = cls._default_manager.using(router.db_for_write(cls))
        return rows.filter(pk=cls.ROW).first() or cls()

    @classmethod
    def lock(cls) -> FeedCursor:
        """Return the row, locked until the transaction ends.

        Several ``sso_sync`` processes take turns. Requests do not take this lock, except on SQLite.
        An UPDATE locks on every database, SQLite included.
        """
        rows = cls._default_manager.using(router.db_for_write(cls))
        if not rows.filter(pk=cls.ROW).update(position=F("position")):
            rows.get_or_create(pk=cls.ROW)
            rows.filter(pk=cls.ROW).update(position=F("position"))
        return rows.get(pk=cls.ROW)

    @property
    def lag(self) -> int:
        """How many versions this site has not applied yet."""
        return max(0, self.head - self.position)
