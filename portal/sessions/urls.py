"""Under ``/sso/v1/``."""

from django.urls import path

from . import views

urlpatterns = [
    path("enter", views.enter, name="enter"),
    path("page/<slug:name>", views.page, name="page"),
    path("signed-out", views.signed_out, name="signed_out"),
]
