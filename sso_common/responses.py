"""Responses for "not signed in" (401), "no access" (403) and "unavailable" (503), as a page or as JSON.

None of them reads the session, because the session may be what failed.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template import Context, Engine, TemplateDoesNotExist
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from . import conf

#: Seconds after which a client should try again.
RETRY_AFTER: Final = 5


def wants_json(request: HttpRequest) -> bool:
    """Whether to answer with JSON and a status code, rather than with pages and redirects.

    True if ``Accept`` prefers JSON, and for scripts: browsers mark requests that are not navigations
    (Fetch Metadata), and older libraries send ``X-Requested-With``.
    """
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return True
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        return True
    return request.headers.get("X-Requested-With") == "XMLHttpRequest"


def unauthorized(login_url: str) -> JsonResponse:
    """401, for a request that wants JSON (RFC 9110, 15.5.2)."""
    response = JsonResponse(
        {"error": "not_signed_in", "detail": _("Sign in first."), "login": login_url}, status=401
    )
    response["WWW-Authenticate"] = f'SSO realm="{conf.dsn().domain}", login="{login_url}"'
    add_never_cache_headers(response)
    return response


def at_the_portal(address: str) -> JsonResponse:
    """403, for a script that asks for a page which only the portal has."""
    detail = _("Open this page of the portal.")
    response = JsonResponse({"error": "at_the_portal", "detail": detail, "portal": address}, status=403)
    add_never_cache_headers(response)
    return response


def onward(request: HttpRequest, address: str, status: int = 302) -> HttpResponse:
    """Send a browser on to an address at the portal.

    Chromium applies the CSP directive ``form-action`` to every redirect that follows when a form is sent:
    ``'self'`` would stop it here. A request that began at this site may be such a redirect, so it gets a
    page that goes on by itself (``Refresh``), without a script: that is a new navigation.
    """
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        response = page("sso_common/onward.html", 200, address=address)
        response["Refresh"] = f"0; url={address}"
    else:
        response = HttpResponseRedirect(address, status=status)
    add_never_cache_headers(response)
    return response


def forbidden(request: HttpRequest) -> HttpResponse:
    """403: the user is signed in and has no access here. Never a redirect."""
    if wants_json(request):
        detail = _("You are signed in, but you don't have access to this page.")
        response: HttpResponse = JsonResponse({"error": "not_admitted", "detail": detail}, status=403)
    else:
        response = page("sso_common/403.html", 403, host=request.get_host())
    add_never_cache_headers(response)
    return response


def sign_in_at_portal(request: HttpRequest, login_url: str) -> HttpResponse:
    """403: this site's own login is refused, because the user has an account at the portal."""
    if wants_json(request):
        detail = _("You have an account at the portal. Sign in there.")
        response: HttpResponse = JsonResponse(
            {"error": "local_login", "detail": detail, "login": login_url}, status=403
        )
    else:
        response = page("sso_common/local_login.html", 403, login_url=login_url)
    add_never_cache_headers(response)
    return response


def service_unavailable(request: HttpRequest) -> HttpResponse:
    """503: the session store cannot answer. No cookie is set or deleted."""
    if wants_json(request):
        response: HttpResponse = JsonResponse(
            {"error": "unavailable", "detail": _("Try again in a moment.")}, status=503
        )
    else:
        response = page("sso_common/503.html", 503)
    response["Retry-After"] = str(RETRY_AFTER)
    add_never_cache_headers(response)
    return response


def page(template: str, status: int, **context: Any) -> HttpResponse:
    """A page that is rendered without the request: context processors may read the session.

    A site can override the template. Its settings need not find those of this package (``APP_DIRS``).
    """
    context.setdefault("portal_url", conf.dsn().portal_url)
    try:
        text = render_to_string(template, context)
    except (TemplateDoesNotExist, ImproperlyConfigured):
        text = own_engine().get_template(template).render(Context(context))
    return HttpResponse(text, status=status)


@functools.cache
def own_engine() -> Engine:
    """Finds the templates of this package."""
    return Engine(
        dirs=[str(Path(__file__).with_name("templates"))], libraries={"i18n": "django.templatetags.i18n"}
    )
