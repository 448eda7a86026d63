"""``path("sso/", include("sso_common.urls"))``."""

from django.urls import path

from .views import HealthView, LoginView, LogoutView

app_name = "sso"

urlpatterns = [
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("health/", HealthView.as_view(), name="health"),
]
