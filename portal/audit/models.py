"""One row for each event. Rows are added, never changed."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    """What happened."""

    SIGNED_IN = "signed_in", _("signed in")
    SIGN_IN_FAILED = "sign_in_failed", _("sign-in failed")
    SIGNED_OUT = "signed_out", _("signed out")
    SESSION_ENDED = "session_ended", _("session ended")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    EMAIL_CHANGED = "email_changed", _("email address changed")
    DEACTIVATED = "deactivated", _("deactivated")
    ACTIVATED = "activated", _("activated")
    DELETED = "deleted", _("deleted")
    IMPORTED = "imported", _("accounts imported")
    RIGHTS_CHANGED = "rights_changed", _("rights at the portal changed")
    ROLE_GIVEN = "role_given", _("role given")
    ROLE_TAKEN = "role_taken", _("role taken")
    SITE_ADDED = "site_added", _("site registered")
    SITE_CHANGED = "site_changed", _("site changed")
    SITE_REMOVED = "site_removed", _("site removed")


class AuditEvent(models.Model):
    """Who did what to whom. It has subjects, not foreign keys: the log outlives users and sites."""

    at = models.DateTimeField(_("when"), auto_now_add=True, db_index=True)
    kind = models.CharField(_("what"), max_length=24, choices=Kind.choices)
    sub = models.UUIDField(_("subject"), null=True, blank=True, db_index=True)
    actor = models.UUIDField(_("done by"), null=True, blank=True)
    site = models.CharField(_("site"), max_length=32, blank=True)
    sid = models.CharField(_("session"), max_length=22, blank=True)
    ip = models.GenericIPAddressField(_("address"), null=True, blank=True)
    detail = models.CharField(_("detail"), max_length=200, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name = _("event")
        verbose_name_plural = _("events")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.get_kind_display()}"
