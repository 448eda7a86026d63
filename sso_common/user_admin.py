"""Linked users in this site's admin: what the portal decides is read-only, with a link to the portal.

``SSOAdminSite`` adds the mixin to every admin of the user model. For an admin site of your own::

    @admin.register(Customer, site=own_site)
    class CustomerAdmin(SSOUserAdminMixin, admin.ModelAdmin): ...

Users who are not linked to a subject, and new ones, stay editable.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from . import conf
from .addresses import person_address

PORTAL_LINK = "sso_portal"


class SSOUserAdminMixin:
    """For a ``ModelAdmin`` of the user model. Write it before the other base classes.

    Read-only are the fields that ``fields`` and ``apply_roles`` of the mapper set, and the password.
    Groups that ``SSO_ROLE_GROUPS`` names can neither be given nor taken. Everything else stays as it is.
    """

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("sso_account")  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)  # type: ignore[misc]
        if not is_linked(obj):
            return fields
        return [*dict.fromkeys([*fields, *sorted(read_only_fields()), PORTAL_LINK])]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Replace the password by the link to the portal."""
        fieldsets = super().get_fieldsets(request, obj)  # type: ignore[misc]
        if not is_linked(obj):
            return fieldsets
        shown = [
            (name, {**options, "fields": without(options["fields"], {"password", PORTAL_LINK})})
            for name, options in fieldsets
        ]
        name, options = shown[0]
        return [(name, {**options, "fields": [PORTAL_LINK, *options["fields"]]}), *shown[1:]]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        user = edited_user(self, request)
        if field is not None and db_field.name == "groups" and is_linked(user) and managed_groups():
            field.queryset = field.queryset.exclude(name__in=managed_groups())
            given = ", ".join(sorted(groups_given(user).values_list("name", flat=True))) or "-"
            field.help_text = _("Given by roles at the portal: %(groups)s.") % {"groups": given}
        return field

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if "groups" in form.cleaned_data and is_linked(form.instance):
            # The form does not offer these, so it would take them away.
            given = groups_given(form.instance)
            form.cleaned_data["groups"] = [*form.cleaned_data["groups"], *given]
        super().save_related(request, form, formsets, change)  # type: ignore[misc]

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        """For ``list_editable``: a field of a linked user that is read-only ignores what is sent."""
        base: Any = super().get_changelist_form(request, **kwargs)  # type: ignore[misc]

        class Form(base):  # type: ignore[misc]
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                if is_linked(self.instance):
                    for name in {*read_only_fields(), "groups"} & self.fields.keys():
                        self.fields[name].disabled = True

        return Form

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002  Django's
        if is_linked(self.get_object(request, unquote(id))):  # type: ignore[attr-defined]
            raise PermissionDenied
        return super().user_change_password(request, id, form_url)  # type: ignore[misc]

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        count = int(is_linked(obj))
        super().delete_model(request, obj)  # type: ignore[misc]
        warn_of_return(request, count)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        count = queryset.exclude(sso_account=None).count()
        super().delete_queryset(request, queryset)  # type: ignore[misc]
        warn_of_return(request, count)

    @admin.display(description=_("Account"))
    def sso_portal(self, obj: Any) -> Any:
        """The link to the person at the portal."""
        text = _("This user signs in at the portal. Name, address, password and roles are changed there.")
        address = person_address(obj.sso_account.sub)
        return format_html('{} <a href="{}">{}</a>', text, address, _("Open at the portal"))


def is_linked(user: Any) -> bool:
    return user is not None and getattr(user, "sso_account", None) is not None


def read_only_fields() -> set[str]:
    from .users import synced_fields  # needs models, which are not loaded yet

    return synced_fields(conf.user_mapper()()) | {"password"}


def managed_groups() -> set[str]:
    from .users import role_groups

    return set(role_groups().values())


def groups_given(user: Any) -> Any:
    """Return the groups that roles gave a user."""
    names = managed_groups()
    return user.groups.filter(name__in=names) if names else user.groups.none()


def edited_user(model_admin: Any, request: HttpRequest) -> Any:
    """Return the user whose page this is, or None."""
    key = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
    return None if key is None else model_admin.get_object(request, unquote(key))


def without(fields: Any, names: set[str]) -> list[Any]:
    """Return fields of a fieldset, which may be in rows, without these."""
    kept = [each if isinstance(each, str) else tuple(without(each, names)) for each in fields]
    return [each for each in kept if each and each not in names]


def warn_of_return(request: HttpRequest, count: int) -> None:
    """Say what happens to deleted users who are linked."""
    if count:
        text = ngettext(
            "%(count)s deleted user has an account at the portal: at the next visit, the person gets a new, "
            "empty user here. To delete the account, delete it at the portal.",
            "%(count)s deleted users have an account at the portal: at the next visit, each of them gets a "
            "new, empty user here. To delete the accounts, delete them at the portal.",
            count,
        )
        messages.warning(request, text % {"count": count})


def with_mixin(model: Any, admin_class: Any) -> Any:
    """Return the admin class for a model: with the mixin, if it is that of users."""
    base = admin_class or admin.ModelAdmin
    if not issubclass(model, get_user_model()) or issubclass(base, SSOUserAdminMixin):
        return admin_class
    return type(base.__name__, (SSOUserAdminMixin, base), {"__module__": base.__module__})
