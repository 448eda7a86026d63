"""Addresses of the portal."""

from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("account/", include("portal.account_urls")),
    path("accounts/", include("allauth.account.urls")),
    path("sso/v1/", include("portal.sessions.urls")),
    path("sso/v1/", include("portal.feed.urls")),
    path("sso/", include("sso_common.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "portal.views.bad_request"
handler403 = "portal.views.forbidden"
handler404 = "portal.views.not_found"
handler500 = "portal.views.server_error"
