"""The portal's admin site: its sign-in is the portal's own page, and a 403 says who may not enter."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _


class PortalAdminSite(AdminSite):
    """For portal staff."""

    site_header = _("Portal administration")
    site_title = _("Portal administration")
    index_title = _("People, sites and roles")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Never a second sign-in form: rate limits and second factors are those of allauth's."""
        wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
        is_safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
        target = wanted if is_safe else reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(target)
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(target)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Out of everything, to the page that says so."""
        logout(request)
        return redirect("signed_out")

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The account page's own, which ends the other sessions."""
        return redirect("account_change_password")
