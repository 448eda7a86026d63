"""URLs of Notes."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("", include("site_a.notes.urls")),
    path("about/", TemplateView.as_view(template_name="about.html"), name="about"),
    path("sso/", include("sso_common.urls")),
    path("admin/", admin.site.urls),
]
