"""People in the portal's admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from portal.audit import services as audit

from . import services
from .models import User


class PersonCreationForm(AdminUserCreationForm):
    """Also asks for an email address, which is needed to reset a password."""

    class Meta:
        model = User
        fields = ("username", "email")


class PersonChangeForm(UserChangeForm):
    """Django's form, for our model."""

    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """People. Changes reach the sites, like all other changes of users."""

    form = PersonChangeForm
    add_form = PersonCreationForm
    inlines = []  # registry.admin adds the roles
    #: Each returns those of the users whom the member of staff may change. registry.admin adds one.
    restrictions: ClassVar[list[Callable[[QuerySet[Any], Any], QuerySet[Any]]]] = []
    list_display = ("username", "email", "email_verified", "first_name", "last_name", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff", "email_verified")
    search_fields = ("username", "email", "first_name", "last_name", "sub")
    readonly_fields = ("sub", "email_verified", "version", "not_before", "date_joined", "last_login")
    actions = ("deactivate", "activate", "sign_out_everywhere")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email", "email_verified")}),
        (_("At the portal"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Record"), {"fields": ("sub", "version", "not_before", "date_joined", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Staff who may edit people must not make themselves superusers."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_staff", "is_superuser", "groups")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Staff must not take over users who may do more, through their email address or password."""
        return self._may_touch(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_touch(request, obj) and super().has_delete_permission(request, obj)

    def _may_touch(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or self.mine(request, User.objects.filter(pk=obj.pk)).exists()

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save, and send a link to confirm an address that was changed."""
        super().save_model(request, obj, form, change)
        if not change:
            EmailAddress.objects.create(user=obj, email=obj.email.lower(), primary=True)
        address = EmailAddress.objects.filter(user=obj, verified=False).first()
        if address is not None and "email" in form.changed_data:
            address.send_confirmation(request)

    @admin.action(description=_("Deactivate: end all sessions and block sign-in"), permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Takes effect at every site with the next request."""
        self._report(request, self.mine(request, queryset).update(is_active=False))

    @admin.action(description=_("Activate"), permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Sessions that have ended stay ended."""
        self._report(request, self.mine(request, queryset).update(is_active=True))

    @admin.action(description=_("Sign out everywhere"), permissions=["change"])
    def sign_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End all sessions. The people can sign in again."""
        users = list(self.mine(request, queryset))
        for user in users:
            services.sign_out_everywhere(user)
            audit.record(
                "session_ended",
                sub=user.pk,
                actor=request.user.pk,
                detail="all sessions, by an administrator",
            )
        self._report(request, len(users))

    def mine(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Return the users whom the member of staff may change."""
        if request.user.is_superuser:
            return queryset
        others = queryset.filter(is_staff=False, is_superuser=False)
        for restrict in self.restrictions:
            others = restrict(others, request.user)
        return queryset.filter(Q(pk__in=others.values("pk")) | Q(pk=request.user.pk))

    def _report(self, request: HttpRequest, count: int) -> None:
        text = ngettext("%(count)s person changed.", "%(count)s people changed.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)


admin.site.unregister(Group)


@admin.register(Group)
class PermissionGroupAdmin(GroupAdmin):
    """Django's groups, for superusers only: others could give their own group every permission."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)


# Importing allauth's admin has registered it. It would let staff give a superuser an address of theirs.
admin.site.unregister(EmailAddress)


@admin.register(EmailAddress)
class AddressAdmin(EmailAddressAdmin):
    """allauth's addresses, for superusers only, because passwords are reset by them. Other staff change
    the address on the person's page."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        if not request.user.is_superuser:
            return {}
        # An argument since Django 6.1.
        where = {} if action_location is None else {"action_location": action_location}
        return super().get_actions(request, **where)
