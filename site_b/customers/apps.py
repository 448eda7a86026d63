"""Registers the app, nothing else."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CustomersConfig(AppConfig):
    """Who buys here."""

    name = "site_b.customers"
    verbose_name = _("Customers")
