"""Registers what happens to sessions when people sign in and out, and when they change."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SessionsConfig(AppConfig):
    """Signed-in sessions."""

    name = "portal.sessions"
    label = "portal_sessions"
    verbose_name = _("Sessions")

    def ready(self) -> None:
        from . import signals

        signals.connect()
