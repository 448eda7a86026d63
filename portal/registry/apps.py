"""Registers the signal receivers that turn a change of roles into new versions."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RegistryConfig(AppConfig):
    """Sites and roles."""

    name = "portal.registry"
    label = "registry"
    verbose_name = _("Sites and roles")

    def ready(self) -> None:
        from . import signals

        signals.connect()
