"""``path("sso/", include("sso_common.urls"))``."""

from django.urls import path

from .pages import PORTAL_PAGES
from .views import HealthView, LoginView, LogoutView, PortalPageView

app_name = "sso"

urlpatterns = [
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("health/", HealthView.as_view(), name="health"),
    *(path(f"{page}/", PortalPageView.as_view(page=page), name=page) for page in PORTAL_PAGES),
]
