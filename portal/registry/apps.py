"""The registry app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RegistryConfig(AppConfig):
    """Sites and roles."""

    name = "portal.registry"
    label = "registry"
    verbose_name = _("Sites and roles")

    def ready(self) -> None:
        from . import receivers  # noqa: F401  it needs models, which are loaded now
