"""The portal's admin site. Its sign-in, sign-out and password pages are the portal's own."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from portal.registry.destinations import safe_next


class PortalAdminSite(AdminSite):
    """For portal staff."""

    site_header = _("Portal administration")
    site_title = _("Portal administration")
    index_title = _("People, sites and roles")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the portal's sign-in, with its rate limits, or refuse users who are not staff."""
        target = request.GET.get(REDIRECT_FIELD_NAME, "")
        if not target.startswith("/") or safe_next(target) is None:
            target = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(target)
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(target)

    def get_urls(self) -> list[Any]:
        """As Django's, without the shortcut to an object's own page: no model here has one, and Django
        answers 500 for a key that is no UUID."""
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]

    @method_decorator([never_cache, require_POST])
    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign out everywhere. Django protects it from CSRF, but only for POST."""
        logout(request)
        return redirect("signed_out")

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the account page's form, which ends the other sessions."""
        return redirect("account_change_password")
