"""Sites and roles in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.accounts.admin import UserAdmin
from sso_common.exceptions import StoreUnavailable

from . import acl, services
from .holding import roles_to_give, who_hold_no_more
from .models import Grant, Role, Site


class GivesOwnRoles:
    """Staff give and take away only roles that they hold."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role":
            kwargs["queryset"] = roles_to_give(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and may_give(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and may_give(request, obj)  # type: ignore[misc]


def may_give(request: HttpRequest, obj: Any) -> bool:
    """Whether a member of staff may give a role, or change a grant of it. No object: in general."""
    role = obj.role_id if isinstance(obj, Grant) else obj.pk if isinstance(obj, Role) else None
    return role is None or roles_to_give(request.user).filter(pk=role).exists()


class RoleInline(admin.TabularInline):
    """A site's roles."""

    model = Role
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers define roles: others could delete one and create it again for themselves."""
        return bool(request.user.is_superuser)

    has_change_permission = has_delete_permission = has_add_permission


class GrantInline(GivesOwnRoles, admin.TabularInline):
    """The users who hold a role."""

    model = Grant
    extra = 0
    autocomplete_fields = ["user"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and may_give(request, obj)


class RolesOfPersonInline(GivesOwnRoles, admin.TabularInline):
    """The roles that a person holds, at all sites. Part of the person's page."""

    model = Grant
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Grant]:
        """The roles that the member of staff may take away."""
        return super().get_queryset(request).filter(role__in=roles_to_give(request.user))


UserAdmin.inlines.append(RolesOfPersonInline)
UserAdmin.restrictions.append(who_hold_no_more)


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):
    """Sites. A new site also needs its DSN: ``manage.py sso_site dsn NAME``."""

    list_display = ["title", "name", "origin", "access", "is_active", "rotation"]
    list_filter = ["access", "is_active"]
    search_fields = ["name", "title", "origin"]
    fields = ["name", "origin", "title", "description", "access", "is_active", "order"]
    inlines = [RoleInline]

    @admin.display(description=gettext_lazy("keys"))
    def rotation(self, site: Site) -> str:
        """The generations of the site's secret that are valid."""
        return ", ".join(str(generation) for generation in site.generations)

    def get_readonly_fields(self, request: HttpRequest, obj: Site | None = None) -> list[str]:
        return ["name"] if obj else []

    def save_model(self, request: HttpRequest, obj: Site, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        try:
            acl.set_site_user(obj)
        except StoreUnavailable:
            messages.warning(
                request,
                _("The site was saved, but Redis did not answer. Run `manage.py sso_site acl` when it does."),
            )
        if not change:
            messages.info(
                request, _("To get the site's DSN, run: manage.py sso_site dsn %(name)s") % {"name": obj.name}
            )

    def delete_model(self, request: HttpRequest, obj: Site) -> None:
        self.delete_queryset(request, Site.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Site]) -> None:
        for site in queryset:
            try:
                services.remove(site)
            except StoreUnavailable:
                messages.error(
                    request,
                    _("Redis did not answer, so %(site)s was not deleted. Try again later.") % {"site": site},
                )


@admin.register(Role)
class RoleAdmin(admin.ModelAdmin):
    """Roles, with the users who hold them."""

    list_display = ["name", "label", "site"]
    list_filter = ["site"]
    search_fields = ["name", "label", "site__name"]
    inlines = [GrantInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only superusers define roles: others could delete one and create it again for themselves."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> list[str]:
        """Only superusers rename a role: whoever holds it would hold another one."""
        return [] if obj is None or request.user.is_superuser else ["site", "name"]


@admin.register(Grant)
class GrantAdmin(GivesOwnRoles, admin.ModelAdmin):
    """Which user holds which role."""

    list_display = ["user", "role", "created_at"]
    list_filter = ["role__site", "role"]
    search_fields = ["user__username", "user__email", "role__name"]
    autocomplete_fields = ["user"]
    list_select_related = ["user", "role__site"]
