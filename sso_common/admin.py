"""The Django admin behind single sign-on.

Replace ``"django.contrib.admin"`` in ``INSTALLED_APPS``::

    INSTALLED_APPS = ["sso_common.admin.SSOAdminConfig", ...]

Visitors who are not signed in are sent to the portal. Users without ``is_staff`` get a 403 page, where the
stock admin would show its login form forever. "Change password" leads to the portal. ``/admin/login/?local``
still shows Django's own form, for a local superuser in an emergency.
"""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from . import responses
from .addresses import LOCAL, login_path, portal_password_address, safe_next
from .user_admin import with_mixin


class SSOAdminConfig(AdminConfig):
    """Django's admin, with ``SSOAdminSite`` as its site."""

    default_site = "sso_common.admin.SSOAdminSite"


class SSOAdminSite(AdminSite):
    """An admin site whose users sign in at the portal, and where what the portal decides is read-only."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """As in Django, but admins of the user model get ``SSOUserAdminMixin``."""
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in models:
            super().register(model, with_mixin(model, admin_class), **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """As in Django, but a signed-in user without permission gets 403 at once, not a redirect."""
        from .refusals import is_signed_in  # needs models; Django imports this module before them

        guarded = super().admin_view(view, cacheable)

        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not self.has_permission(request) and is_signed_in(request):
                return responses.forbidden(request)
            return guarded(request, *args, **kwargs)

        return update_wrapper(answer, guarded)

    def password_change(  # type: ignore[override]  # django-stubs knows of no redirect
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Send users who are signed in at the portal to its page. Local users change their password here."""
        if getattr(request, "sso", None):
            return HttpResponseRedirect(portal_password_address())
        return super().password_change(request, extra_context)

    @method_decorator([never_cache, login_not_required])
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send the visitor to the portal; see the module's docstring for the exceptions."""
        address = safe_next(request, default=reverse("admin:index"))
        if self.has_permission(request):
            return HttpResponseRedirect(address)
        if request.user.is_authenticated:
            return responses.forbidden(request)
        if LOCAL in request.GET or request.method == "POST":
            from .forms import LocalLoginForm  # needs models

            self.login_form = self.login_form or LocalLoginForm
            return super().login(request, extra_context)
        return HttpResponseRedirect(login_path(address))
