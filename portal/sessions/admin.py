"""Sessions in the admin, to see and to end."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit import services as audit
from sso_common.exceptions import StoreUnavailable

from .ending import end_session
from .models import EndReason, Session


def people(request: HttpRequest) -> QuerySet[Any]:
    """The users whose sessions a member of staff may end."""
    model = get_user_model()
    users: Any = admin.site.get_model_admin(model)
    return users.mine(request, model.objects.all())


@admin.register(Session)
class SessionAdmin(admin.ModelAdmin):
    """Sessions cannot be added, changed or deleted here."""

    list_display = ["person", "device", "auth_time", "expires", "ip", "ended_at", "ended_reason"]
    list_filter = ["ended_reason", "remember", "auth_time"]
    search_fields = ["sid", "user__username", "user__email"]
    date_hierarchy = "auth_time"
    actions = ["end"]
    list_select_related = ["user"]

    @admin.display(description=gettext_lazy("person"))
    def person(self, session: Session) -> str:
        """The user, or the subject of a deleted user."""
        # The cache holds what ``list_select_related`` has found: None if the user was deleted.
        return str(session._state.fields_cache.get("user") or session.user_id)

    @admin.action(description=gettext_lazy("Sign out"), permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        """End these sessions everywhere."""
        try:
            for row in queryset.filter(ended_at__isnull=True, user__in=people(request)):
                end_session(row.sid, EndReason.REVOKED)
                audit.record("session_ended", sub=row.user_id, actor=request.user.pk, sid=row.sid)
        except StoreUnavailable:
            messages.warning(request, _("Redis did not answer. The sessions end when it does."))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Only its row keeps a session ended after a failover. ``sso_sessions prune`` deletes old rows.
        return False

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Users with the permission to delete sessions may end them."""
        return request.user.has_perm("portal_sessions.delete_session")
