"""Django's admin, with the portal's own admin site."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Registers ``portal.admin.PortalAdminSite`` as the default admin site."""

    default_site = "portal.admin.PortalAdminSite"
