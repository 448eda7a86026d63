"""The plain site with a login form of its own."""

from django.contrib.auth.views import LoginView
from django.urls import path

from tests import urls

urlpatterns = [
    *urls.urlpatterns,
    path("local-login/form/", LoginView.as_view(template_name="admin/login.html", next_page="/user/")),
]
