"""Pages under ``/account/`` that allauth does not have."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.account, name="account"),
    path("sessions/end/", views.end_session, name="end_session"),
    path("sessions/end-all/", views.end_all_sessions, name="end_all_sessions"),
]
