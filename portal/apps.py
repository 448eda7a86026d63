"""The portal's Django admin: behind the same sign-in as everything else."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Registers ``portal.admin.PortalAdminSite`` as the default admin site."""

    default_site = "portal.admin.PortalAdminSite"

    def ready(self) -> None:
        super().ready()
        from allauth.account.models import EmailAddress
        from django.contrib import admin

        from portal.accounts.admin import AddressAdmin

        # allauth registers its own, which would let staff give a superuser an address of theirs.
        admin.site.unregister(EmailAddress)
        admin.site.register(EmailAddress, AddressAdmin)
