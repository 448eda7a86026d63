"""URLs of Shop."""

from django.urls import include, path

urlpatterns = [
    path("", include("site_b.shop.urls")),
    path("api/", include("site_b.shop.api_urls")),
    path("sso/", include("sso_common.urls")),
]

handler403 = "site_b.shop.errors.permission_denied"
handler404 = "site_b.shop.errors.page_not_found"
handler500 = "site_b.shop.errors.server_error"
