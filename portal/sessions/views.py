"""The two addresses to which sites redirect browsers: ``/sso/v1/enter`` and ``/sso/v1/signed-out``.

They are a contract with all sites, and do not depend on allauth's addresses.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.registry.destinations import checked_next, site_at
from sso_common.exceptions import IdentityExpired, NoIdentity

from .engine import SessionStore


@never_cache
@require_safe
def enter(request: HttpRequest) -> HttpResponse:
    """Sign in if needed, then redirect to ``next`` (a registered site or the portal), else home."""
    target = checked_next(request.GET.get("next", "")) or reverse("home")
    if request.user.is_authenticated:
        return HttpResponseRedirect(target)
    return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({'next': target})}")


@never_cache
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    """Say that the user is signed out, and delete an SSO cookie that opens nothing any more.

    Users who are still signed in stay so: a link to this page signs no one out.
    """
    session = cast(SessionStore, request.session)
    if session.identity is None and isinstance(session.refusal, NoIdentity | IdentityExpired):
        session.ended = session.presented_sid
    target = checked_next(request.GET.get("next", ""))
    site = site_at(target)
    context = {"back_to": target if site else None, "back_title": site.title if site else ""}
    return render(request, "signed_out.html", context)
