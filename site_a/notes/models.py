"""The note: private to its owner until the owner makes it public."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class NoteQuerySet(models.QuerySet["Note"]):
    """The notes that a user can see, and those a user can change."""

    def public(self) -> "NoteQuerySet":
        """The notes that anyone can read."""
        return self.filter(is_public=True)

    def visible_to(self, user: Any) -> "NoteQuerySet":
        """Public notes and the user's own. No permission opens another user's private notes."""
        return self.filter(Q(is_public=True) | Q(owner_id=user.pk))

    def editable_by(self, user: Any) -> "NoteQuerySet":
        """The user's own notes, and public ones if the user is a curator."""
        if user.has_perm("notes.curate_note"):
            return self.visible_to(user)
        return self.filter(owner_id=user.pk)


class Note(models.Model):
    """A note."""

    class Tint(models.TextChoices):
        """The colour of the paper."""

        PAPER = "paper", _("Paper")
        LEMON = "lemon", _("Lemon")
        MINT = "mint", _("Mint")
        SKY = "sky", _("Sky")
        ROSE = "rose", _("Rose")

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes", verbose_name=_("owner")
    )
    title = models.CharField(_("title"), max_length=120)
    body = models.TextField(_("text"), blank=True, max_length=20_000)
    tint = models.CharField(_("colour"), max_length=8, choices=Tint.choices, default=Tint.PAPER)
    is_public = models.BooleanField(_("public"), default=False, db_index=True)
    created_at = models.DateTimeField(_("written"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = NoteQuerySet.as_manager()

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        ordering = ["-updated_at", "-pk"]
        permissions = [("curate_note", _("Can edit all public notes"))]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The address of the note's page."""
        return reverse("notes:detail", args=[self.pk])
