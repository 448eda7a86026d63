"""Configuration of the app. Creates this site's groups after each ``migrate``."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class NotesConfig(AppConfig):
    """Notes."""

    name = "site_a.notes"
    verbose_name = _("Notes")

    def ready(self) -> None:
        from .groups import ensure_groups

        post_migrate.connect(ensure_groups, sender=self, dispatch_uid="site_a.notes.groups")
