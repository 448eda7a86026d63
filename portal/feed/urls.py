"""The API for sites, under ``/sso/v1/``."""

from django.urls import path

from . import views

app_name = "feed"

urlpatterns = [
    path("users", views.users, name="users"),
    path("status", views.status, name="status"),
]
