"""URLs of the notes."""

from django.urls import path

from . import views

app_name = "notes"

urlpatterns = [
    path("", views.PublicNotes.as_view(), name="public"),
    path("you/", views.You.as_view(), name="you"),
    path("notes/", views.MyNotes.as_view(), name="mine"),
    path("notes/new/", views.NoteCreate.as_view(), name="create"),
    path("notes/<int:pk>/", views.NoteDetail.as_view(), name="detail"),
    path("notes/<int:pk>/edit/", views.NoteUpdate.as_view(), name="update"),
    path("notes/<int:pk>/delete/", views.NoteDelete.as_view(), name="delete"),
]
