"""The portal's Django admin: behind the same sign-in as everything else."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Registers ``portal.admin.PortalAdminSite`` as the default admin site."""

    default_site = "portal.admin.PortalAdminSite"
