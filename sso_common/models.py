"""What a site remembers of the feed: one ``Account`` a subject, and how far it has read.

In: rows written by ``users.py`` and ``sso_sync``, and by nobody else. Out: the tie between a subject
and this site's own user, whatever that user's model and primary key are.
"""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models, router
from django.db.models import F
from django.utils.translation import gettext_lazy as _

if not apps.is_installed("sso_common"):
    # No system check of ours would run, so the first part that is used says it: each needs this module.
    raise ImproperlyConfigured('Write in the settings: INSTALLED_APPS += ["sso_common"]')


class Account(models.Model):
    """Ties a subject to this site's local user, at the version that was last applied.

    ``user`` is empty only where ``SSO_HARD_DELETE`` has deleted it: the row stays behind, so that
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
    version = models.BigIntegerField(_("version"), editable=False)
    #: Seconds since the epoch: sessions with an earlier ``auth_time`` have ended.
    not_before = models.BigIntegerField(_("sessions end before"), default=0, editable=False)
    is_active = models.BooleanField(_("active"), default=True, editable=False)
    #: A tombstone was applied: deleted at the portal, or no longer visible to this site.
    is_deleted = models.BooleanField(_("deleted"), default=False, editable=False)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.sub)


class FeedCursor(models.Model):
    """How far this site has read the feed: the table's only row."""

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW, editable=False)
    #: The last version that was applied, and the portal's newest when it was last asked.
    position = models.BigIntegerField(_("position"), default=0, editable=False)
    head = models.BigIntegerField(_("head of the feed"), default=0, editable=False)
    #: When the portal's feed last answered.
    synced_at = models.DateTimeField(_("last answer"), null=True, editable=False)

    class Meta:
        verbose_name = _("position in the feed")
        verbose_name_plural = _("positions in the feed")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.position}/{self.head}"

    @classmethod
    def load(cls) -> FeedCursor:
        """The row, for reading; a new one where nothing has been synced yet."""
        rows = cls._default_manager.using(router.db_for_write(cls))
        return rows.filter(pk=cls.ROW).first() or cls()

    @classmethod
    def lock(cls) -> FeedCursor:
        """The row, locked until the transaction ends.

        It is also the one lock under which users are written: feed and requests, and several
        ``sso_sync``, take turns. An UPDATE locks on every database, SQLite included.
        """
        rows = cls._default_manager.using(router.db_for_write(cls))
        if not rows.filter(pk=cls.ROW).update(position=F("position")):
            rows.get_or_create(pk=cls.ROW)
            rows.filter(pk=cls.ROW).update(position=F("position"))
        return rows.get(pk=cls.ROW)

    @property
    def lag(self) -> int:
        """Versions that the portal has and this site has not applied yet."""
        return max(0, self.head - self.position)
