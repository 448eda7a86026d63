"""The portal's URLs."""

from django.contrib import admin
from django.urls import include, path

from portal.sessions.views import sign_in

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("account/", include("portal.account_urls")),
    path("accounts/login/", sign_in, name="account_login"),
    path("accounts/", include("allauth.account.urls")),
    path("sso/v1/", include("portal.sessions.urls")),
    path("sso/v1/", include("portal.feed.urls")),
    path("sso/", include("sso_common.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "portal.problems.bad_request"
handler403 = "portal.problems.forbidden"
handler404 = "portal.problems.not_found"
handler500 = "portal.problems.server_error"
