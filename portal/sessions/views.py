"""The hop (``/sso/v1/enter``), the way to other pages (``…/page/password``), ``…/signed-out``, the sign-in.

Sites send browsers to the first three. They are a contract with all sites, and do not depend on allauth's
addresses.
"""

from __future__ import annotations

from typing import Final, cast
from urllib.parse import urlencode

from allauth.account.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.registry.destinations import checked_next, site_at
from sso_common.exceptions import IdentityExpired, NoIdentity

from .engine import SessionStore
from .restoring import restore

#: Marks an address to which the hop redirects, so that a browser that refuses the cookies is not redirected
#: for ever.
CHECKED: Final = "checked"

#: The pages for accounts, by the names that sites use (``sso_common.pages.PORTAL_PAGES``).
PAGES: Final = {
    "account": "account",
    "password": "account_change_password",
    "reset": "account_reset_password",
    "email": "account_email",
    "signup": "account_signup",
}


@never_cache
@require_safe
def enter(request: HttpRequest) -> HttpResponse:
    """Sign in if needed, then redirect to ``next`` (a registered site or the portal), else home."""
    target = checked_next(request.GET.get("next", "")) or reverse("home")
    if request.user.is_authenticated:
        return HttpResponseRedirect(target)
    query = urlencode({"next": target, CHECKED: "1"})
    is_restored = CHECKED not in request.GET and restore(cast(SessionStore, request.session))
    return HttpResponseRedirect(f"{reverse('enter' if is_restored else 'account_login')}?{query}")


@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    """allauth's sign-in page, for browsers in which no session goes on."""
    session = cast(SessionStore, request.session)
    may_restore = request.method == "GET" and CHECKED not in request.GET and session.identity is None
    if may_restore and (session.portal_row is not None or session.identity_at_sites is not None):
        query = urlencode({"next": request.GET.get("next", "")})
        return HttpResponseRedirect(f"{reverse('enter')}?{query}")
    return cast(HttpResponse, LoginView.as_view()(request))


@never_cache
@require_safe
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Redirect to one of the pages for accounts; from there, allauth leads back to ``next``."""
    if name not in PAGES:
        raise Http404
    target = checked_next(request.GET.get("next", ""))
    query = f"?{urlencode({'next': target})}" if target else ""
    return HttpResponseRedirect(reverse(PAGES[name]) + query)


@never_cache
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    """Say that the user is signed out, and delete an SSO cookie that opens nothing any more.

    Users who are still signed in stay so: a link to this page signs no one out. If the answer comes late and
    deletes the cookie of a newer sign-in, the hop restores it.
    """
    session = cast(SessionStore, request.session)
    session.is_over = session.identity is None and isinstance(session.refusal, NoIdentity | IdentityExpired)
    target = checked_next(request.GET.get("next", ""))
    site = site_at(target)
    context = {
        "is_signed_in": request.user.is_authenticated or session.identity_at_sites is not None,
        "back_to": target if site else None,
        "back_title": site.title if site else "",
    }
    return render(request, "signed_out.html", context)
