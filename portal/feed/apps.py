"""Registers the wake-up of the sites that follow the feed."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FeedConfig(AppConfig):
    """The feed."""

    name = "portal.feed"
    label = "feed"
    verbose_name = _("Feed")

    def ready(self) -> None:
        from . import wakeup

        wakeup.connect()
