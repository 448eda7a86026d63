"""Sites and roles in the admin."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.accounts.admin import UserAdmin
from sso_common.exceptions import StoreUnavailable

from . import acl, services
from .models import Grant, Role, Site


class RoleInline(admin.TabularInline):
    """A site's roles."""

    model = Role
    extra = 0


class GrantInline(admin.TabularInline):
    """The users who hold a role."""

    model = Grant
    extra = 0
    autocomplete_fields = ["user", "role"]


class RolesOfPersonInline(admin.TabularInline):
    """The roles that a person holds, at all sites. Part of the person's page."""

    model = Grant
    extra = 0


UserAdmin.inlines.append(RolesOfPersonInline)


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


@admin.register(Grant)
class GrantAdmin(admin.ModelAdmin):
    """Which user holds which role."""

    list_display = ["user", "role", "created_at"]
    list_filter = ["role__site", "role"]
    search_fields = ["user__username", "user__email", "role__name"]
    autocomplete_fields = ["user", "role"]
    list_select_related = ["user", "role__site"]
