"""The audit app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    """The audit log."""

    name = "portal.audit"
    label = "portal_audit"
    verbose_name = _("Audit log")
