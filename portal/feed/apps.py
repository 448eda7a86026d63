"""The feed app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FeedConfig(AppConfig):
    """The feed."""

    name = "portal.feed"
    label = "feed"
    verbose_name = _("Feed")

    def ready(self) -> None:
        from . import wakeup  # noqa: F401  it needs models, which are loaded now
