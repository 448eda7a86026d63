"""Configuration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ShopConfig(AppConfig):
    """Products, the cart and orders."""

    name = "site_b.shop"
    verbose_name = _("Shop")
