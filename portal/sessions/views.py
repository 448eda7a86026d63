"""The two addresses that sites send browsers to: ``/sso/v1/enter`` and ``/sso/v1/signed-out``.

A contract with every site in the field, independent of allauth's own addresses.
"""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.registry.models import Site
from portal.registry.origins import origin_of, safe_next
from sso_common.exceptions import IdentityExpired, NoIdentity

security_logger = logging.getLogger("django.security.sso")


@never_cache
@require_safe
def enter(request: HttpRequest) -> HttpResponse:
    """Sign in if needed, then go on to ``next``: a registered site or the portal, else home."""
    wanted = request.GET.get("next", "")
    target = _checked(wanted) or reverse("home")
    if request.user.is_authenticated:
        return HttpResponseRedirect(target)
    return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({'next': target})}")


@never_cache
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    """Say that the person is signed out everywhere, and take back a cookie that opens nothing.

    Whoever is still signed in stays so: a link to this page signs nobody out.
    """
    session = request.session
    if session.identity is None and isinstance(session.refusal, NoIdentity | IdentityExpired):
        request.sso_ended = session.presented_sid
    target = _checked(request.GET.get("next", ""))
    site = Site.objects.filter(origin=origin_of(target or ""), is_active=True).first()
    context = {"back_to": target if site else None, "back_title": site.title if site else ""}
    return render(request, "signed_out.html", context)


def _checked(wanted: str) -> str | None:
    if not wanted:
        return None
    target = safe_next(wanted)
    if target is None:
        security_logger.warning("Refused to redirect to %r", wanted[:200], extra={"reason": "unsafe-next"})
    return target
