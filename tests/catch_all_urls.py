"""A URLconf with a pattern for all paths above the URLs of ``sso_common``."""

from django.urls import path

from tests import product_urls

urlpatterns = [
    path("<slug:event>/login/", product_urls.register, name="catch_all"),
    *product_urls.urlpatterns,
]
