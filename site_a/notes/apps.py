"""Registers the app, and keeps the two groups of this site in being."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class NotesConfig(AppConfig):
    """Notes and who may see them."""

    name = "site_a.notes"
    verbose_name = _("Notes")

    def ready(self) -> None:
        from .groups import ensure_groups

        post_migrate.connect(ensure_groups, sender=self, dispatch_uid="site_a.notes.groups")
