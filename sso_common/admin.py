"""The Django admin behind the single sign-on: ``"sso_common.admin.SSOAdminConfig"`` in
``INSTALLED_APPS`` in place of ``"django.contrib.admin"``.

Not signed in: to the login hop. Signed in without ``is_staff``: a 403 page, where the stock admin
would show its login form for ever. ``/admin/login/?local`` keeps Django's own form, for an
operator's local account.
"""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from . import responses
from .views import login_path

LOCAL = "local"


class SSOAdminConfig(AdminConfig):
    """Django's admin with ``SSOAdminSite`` as its site."""

    default_site = "sso_common.admin.SSOAdminSite"


class SSOAdminSite(AdminSite):
    """An admin site that signs people in at the portal."""

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """As in Django, but who is signed in and may not enter gets 403 at once, not a redirect."""
        from .middleware import is_signed_in  # needs models; this module is imported before them

        guarded = super().admin_view(view, cacheable)

        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not self.has_permission(request) and is_signed_in(request):
                return responses.forbidden(request)
            return guarded(request, *args, **kwargs)

        return update_wrapper(answer, guarded)

    @method_decorator([never_cache, login_not_required])
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """See the module's docstring."""
        if self.has_permission(request):
            return HttpResponseRedirect(_next(request))
        if request.user.is_authenticated:
            return responses.forbidden(request)
        if LOCAL in request.GET or request.method == "POST":
            return super().login(request, extra_context)
        return HttpResponseRedirect(login_path(_next(request)))


def _next(request: HttpRequest) -> str:
    address = request.GET.get(REDIRECT_FIELD_NAME, "")
    if url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return address
    return reverse("admin:index")
