"""The sessions app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SessionsConfig(AppConfig):
    """Signed-in sessions."""

    name = "portal.sessions"
    label = "portal_sessions"
    verbose_name = _("Sessions")

    def ready(self) -> None:
        from . import receivers  # noqa: F401  it needs models, which are loaded now
