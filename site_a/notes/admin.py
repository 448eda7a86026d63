"""Notes in the admin. Staff moderate public notes. Private notes stay private here, too."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    """The public notes, and the notes of the user."""

    list_display = ["title", "owner", "is_public", "updated_at"]
    list_filter = ["is_public", "tint"]
    list_select_related = ["owner"]
    search_fields = ["title", "body", "owner__username"]
    readonly_fields = ["owner", "created_at", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Note]:
        return super().get_queryset(request).visible_to(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # owners write their notes on the site
