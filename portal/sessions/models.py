"""The sessions that the portal has issued.

Who is signed in at a site depends on the identity record in Redis. At the portal, the session's row must be
live, too. The rows are what users see in their account, and they outlive Redis: an ended session that a
failover brings back is deleted again.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sso_common.tokens import SessionToken

from .devices import device_name


class EndReason(models.TextChoices):
    """Why a session ended."""

    SIGNED_OUT = "signed_out", _("signed out")
    REVOKED = "revoked", _("ended on the account page or by an administrator")
    PASSWORD = "password", _("the password was changed")
    REPLACED = "replaced", _("another sign-in in the same browser")
    ACCOUNT = "account", _("the account was deactivated, deleted, or signed out everywhere")
    EXPIRED = "expired", _("not used for too long")
    TOO_MANY = "too_many", _("too many newer sign-ins")


class SessionQuerySet(models.QuerySet["Session"]):
    """Sessions by the state that they are in."""

    def live(self) -> SessionQuerySet:
        """Sessions that have neither ended nor expired, as far as the database knows."""
        return self.filter(ended_at__isnull=True, expires__gt=timezone.now())

    def ended_but_not_gone(self) -> SessionQuerySet:
        """Ended sessions whose records may still be in Redis."""
        return self.filter(ended_at__isnull=False, is_gone=False)

    def opened_by(self, portal_token: SessionToken) -> SessionQuerySet:
        """The session that the portal's own cookie opens."""
        return self.live().filter(sid=portal_token.sid, portal_bind=portal_token.bind)

    def subjects(self) -> Any:
        """The subjects who have these sessions."""
        return self.values_list("user_id", flat=True).distinct().order_by("user_id")

    def end(self, reason: EndReason) -> int:
        """Mark the sessions as ended that are not yet. Returns how many these were."""
        return self.filter(ended_at__isnull=True).update(ended_at=timezone.now(), ended_reason=reason)


class Session(models.Model):
    """One sign-in. Contains no secret, only a hash of one."""

    sid = models.CharField(_("session"), max_length=22, primary_key=True)
    # Without a constraint: the row outlives the user, whose sessions may come back with an old Redis.
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
    #: SHA-256 of the secret in the portal's own cookie, base64url. Empty in a session that is older than
    #: that cookie.
    portal_bind = models.CharField(max_length=43, blank=True, db_default="", editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_reason = models.CharField(_("why"), max_length=16, choices=EndReason.choices, blank=True)

    #: Redis has confirmed that the record of an ended session is deleted.
    is_gone = models.BooleanField(default=False)

    objects = SessionQuerySet.as_manager()

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
        """The browser and its system, in words."""
        return device_name(self.user_agent)


class Progress(models.Model):
    """How far ``following.catch_up`` has come, with a row for each thing that it follows."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"

    @classmethod
    def read(cls, name: str, default: str = "") -> str:
        """Return a value, or the default if there is none yet."""
        row = cls.objects.filter(name=name).first()
        return row.value if row else default

    @classmethod
    def write(cls, name: str, value: str) -> None:
        """Store a value."""
        cls.objects.update_or_create(name=name, defaults={"value": value})
