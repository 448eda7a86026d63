"""What the portal remembers of each session it issued.

The truth about who is signed in is the identity record in Redis. These rows list sessions for people,
and outlive Redis: an ended session that a failover brings back is deleted again (``services.reap``).
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .devices import device_name


class EndReason(models.TextChoices):
    """Why a session ended."""

    SIGNED_OUT = "signed_out", _("signed out")
    REVOKED = "revoked", _("ended on the account page or by an administrator")
    PASSWORD = "password", _("the password was changed")
    REPLACED = "replaced", _("another sign-in in the same browser")
    ACCOUNT = "account", _("the account was deactivated, deleted, or signed out everywhere")
    EXPIRED = "expired", _("not used for too long")


class Session(models.Model):
    """One sign-in. Holds no secret."""

    sid = models.CharField(_("session"), max_length=22, primary_key=True)
    # Without a constraint: the row must outlive the user, whose sessions may come back with an old Redis.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        db_constraint=False,
        related_name="sso_sessions",
        verbose_name=_("person"),
    )
    auth_time = models.DateTimeField(_("signed in"))
    expires = models.DateTimeField(_("ends at the latest"), db_index=True)
    idle = models.PositiveIntegerField(_("idle timeout in seconds"))
    remember = models.BooleanField(_("remembered"), default=False)
    ip = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.CharField(_("browser"), max_length=300, blank=True)
    #: The session whose cookie this sign-in overwrites in the browser.
    replaces = models.CharField(max_length=22, blank=True, db_index=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_reason = models.CharField(_("why"), max_length=16, choices=EndReason.choices, blank=True)

    #: Redis has confirmed that the record of an ended session is deleted.
    is_gone = models.BooleanField(default=False)

    class Meta:
        ordering = ["-auth_time"]
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        indexes = [
            models.Index(
                fields=["ended_at"],
                condition=models.Q(ended_at__isnull=False, is_gone=False),
                name="sessions_still_to_delete",
            )
        ]

    def __str__(self) -> str:
        return f"{self.sid[:6]}… ({self.device})"

    @property
    def device(self) -> str:
        """Browser and system, in words."""
        return device_name(self.user_agent)


class Progress(models.Model):
    """How far ``services.catch_up`` has come; one row for each thing that it follows."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"
