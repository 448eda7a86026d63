"""The products' projects before they become sites: as their own documentation creates them, with tables."""

from __future__ import annotations

from tests.products.product import Product

#: What Oscar's documentation tells to add to the settings of a new project ("Building your own shop").
OSCAR_SETTINGS = """
from oscar.defaults import *

INSTALLED_APPS += [
    "django.contrib.sites",
    "django.contrib.flatpages",
    "oscar.config.Shop",
    "oscar.apps.analytics.apps.AnalyticsConfig",
    "oscar.apps.checkout.apps.CheckoutConfig",
    "oscar.apps.address.apps.AddressConfig",
    "oscar.apps.shipping.apps.ShippingConfig",
    "oscar.apps.catalogue.apps.CatalogueConfig",
    "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.communication.apps.CommunicationConfig",
    "oscar.apps.partner.apps.PartnerConfig",
    "oscar.apps.basket.apps.BasketConfig",
    "oscar.apps.payment.apps.PaymentConfig",
    "oscar.apps.offer.apps.OfferConfig",
    "oscar.apps.order.apps.OrderConfig",
    "oscar.apps.customer.apps.CustomerConfig",
    "oscar.apps.search.apps.SearchConfig",
    "oscar.apps.voucher.apps.VoucherConfig",
    "oscar.apps.wishlists.apps.WishlistsConfig",
    "oscar.apps.dashboard.apps.DashboardConfig",
    "oscar.apps.dashboard.reports.apps.ReportsDashboardConfig",
    "oscar.apps.dashboard.users.apps.UsersDashboardConfig",
    "oscar.apps.dashboard.orders.apps.OrdersDashboardConfig",
    "oscar.apps.dashboard.catalogue.apps.CatalogueDashboardConfig",
    "oscar.apps.dashboard.offers.apps.OffersDashboardConfig",
    "oscar.apps.dashboard.partners.apps.PartnersDashboardConfig",
    "oscar.apps.dashboard.pages.apps.PagesDashboardConfig",
    "oscar.apps.dashboard.ranges.apps.RangesDashboardConfig",
    "oscar.apps.dashboard.reviews.apps.ReviewsDashboardConfig",
    "oscar.apps.dashboard.vouchers.apps.VouchersDashboardConfig",
    "oscar.apps.dashboard.communications.apps.CommunicationsDashboardConfig",
    "oscar.apps.dashboard.shipping.apps.ShippingDashboardConfig",
    "widget_tweaks",
    "haystack",
    "treebeard",
    "sorl.thumbnail",
    "django_tables2",
]
SITE_ID = 1
TEMPLATES[0]["OPTIONS"]["context_processors"] += [
    "oscar.apps.search.context_processors.search_form",
    "oscar.apps.checkout.context_processors.checkout",
    "oscar.apps.communication.notifications.context_processors.notifications",
    "oscar.core.context_processors.metadata",
]
MIDDLEWARE += [
    "oscar.apps.basket.middleware.BasketMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
AUTHENTICATION_BACKENDS = (
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
)
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
ALLOWED_HOSTS = [".sso.localhost"]
OSCAR_INITIAL_ORDER_STATUS = "Pending"
OSCAR_INITIAL_LINE_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {"Pending": ("Cancelled",), "Cancelled": ()}
"""

#: The URLconf of the same documentation.
OSCAR_URLS = """
from django.apps import apps
from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
urlpatterns += static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT)
"""


OSCAR_PRODUCT = """
from oscar.test.factories import create_product
create_product(upc="lamp", title="A blue lamp", price=10, num_in_stock=50)
"""
PRETALX_EVENT = """
import datetime as dt
from pretalx.event.models import Event, Organiser
day = dt.date.today() + dt.timedelta(days=20)
Event.objects.create(
    name="TeaConf", slug="tea", organiser=Organiser.objects.create(name="Tea", slug="tea"), is_public=True,
    email="tea@example.com", date_from=day, date_to=day, timezone="UTC", locale_array="en",
    content_locale_array="en",
)
"""


def wagtail(product: Product) -> None:
    """Create what ``wagtail start`` creates."""
    product.succeed(product.python.with_name("wagtail"), "start", "mysite", ".")
    product.manage("migrate", "--verbosity", "0")


def oscar(product: Product) -> None:
    """Create ``frobshop`` with one product."""
    product.succeed("-m", "django", "startproject", "frobshop", ".")
    package = product.folder / "frobshop"
    with (package / "settings.py").open("a") as settings:
        settings.write(OSCAR_SETTINGS)
    (package / "urls.py").write_text(OSCAR_URLS)
    product.manage("migrate", "--verbosity", "0")
    product.shell(OSCAR_PRODUCT)


def pretalx(product: Product) -> None:
    """Create pretalx's data with one event."""
    product.variables = pretalx_variables(product)
    product.manage("migrate", "--verbosity", "0")
    product.manage("collectstatic", "--no-input", "--verbosity", "0")
    product.manage("shell", "--unsafe-disable-scopes", "--verbosity", "0", "--command", PRETALX_EVENT)


def pretalx_variables(product: Product) -> dict[str, str]:
    """What is otherwise in ``pretalx.cfg``."""
    return {
        "PRETALX_DEBUG": "False",
        "PRETALX_SITE_URL": product.url,
        "PRETALX_DATA_DIR": str(product.folder / "data"),
        "PRETALX_FILESYSTEM_STATIC": str(product.folder / "static"),
        "PRETALX_NO_INITIAL_LOG": "1",
    }
