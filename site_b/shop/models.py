"""Products and orders. Amounts are in cents."""

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class Product(models.Model):
    """A product. Its picture is the static file ``site_b/art/<slug>.svg``."""

    slug = models.SlugField(_("address"), unique=True)
    name = models.CharField(_("name"), max_length=80)
    tagline = models.CharField(_("in a few words"), max_length=120)
    description = models.TextField(_("description"))
    price_cents = models.PositiveIntegerField(_("price in cents"))
    tint = models.CharField(_("colour"), max_length=8)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The address of the product's page."""
        return reverse("shop:product", args=[self.slug])

    @property
    def art(self) -> str:
        """The path of the picture among the static files."""
        return f"site_b/art/{self.slug}.svg"


class Order(models.Model):
    """An order of a customer."""

    # Generated with the checkout form, so that a form that is submitted twice creates one order.
    reference = models.UUIDField(_("reference"), unique=True)
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders", verbose_name=_("customer")
    )
    placed_at = models.DateTimeField(_("placed"), auto_now_add=True)
    total_cents = models.PositiveIntegerField(_("total in cents"))

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ["-placed_at", "-pk"]

    def __str__(self) -> str:
        return str(self.reference)

    def get_absolute_url(self) -> str:
        """The address of the order's page."""
        return reverse("shop:order", args=[self.reference])


class OrderLine(models.Model):
    """A product in an order, at the price of that day."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines", verbose_name=_("order"))
    product = models.ForeignKey(Product, on_delete=models.PROTECT, verbose_name=_("product"))
    unit_cents = models.PositiveIntegerField(_("price in cents"))
    quantity = models.PositiveSmallIntegerField(_("quantity"))

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product_id}"

    @property
    def total_cents(self) -> int:
        """The price of the line."""
        return self.unit_cents * self.quantity
