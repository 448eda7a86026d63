"""What kind of answer a request wants, and the answers that are not a page of the site.

In: a request. Out: HTTP responses for "not signed in", "not admitted" and "unavailable". None of
them looks at the session, for that may be what failed.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from . import conf

#: Seconds after which a client may try again.
RETRY_AFTER: Final = 5


def wants_json(request: HttpRequest) -> bool:
    """Whether to answer with JSON and a status rather than with a page and redirects.

    True for what says so (``Accept``), and for scripts: a browser marks what is no navigation
    (Fetch Metadata), older libraries send ``X-Requested-With``.
    """
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return True
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        return True
    return request.headers.get("X-Requested-With") == "XMLHttpRequest"


def unauthorized(login_url: str) -> JsonResponse:
    """401 for a request that wants JSON (RFC 9110, 15.5.2)."""
    response = JsonResponse(
        {"error": "not_signed_in", "detail": _("Sign in first."), "login": login_url}, status=401
    )
    response["WWW-Authenticate"] = f'SSO realm="{conf.domain()}", login="{login_url}"'
    add_never_cache_headers(response)
    return response


def forbidden(request: HttpRequest) -> HttpResponse:
    """403: signed in, and not admitted here. A page with a way back; never a redirect."""
    if wants_json(request):
        detail = _("You are signed in, but you may not enter here.")
        response: HttpResponse = JsonResponse({"error": "not_admitted", "detail": detail}, status=403)
    else:
        response = page("sso_common/403.html", 403, host=request.get_host())
    add_never_cache_headers(response)
    return response


def service_unavailable(request: HttpRequest) -> HttpResponse:
    """503: the session store cannot answer. Sets and deletes no cookie."""
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
    """A page rendered without the request: context processors may look at the session."""
    context.setdefault("portal_url", conf.portal_url())
    return HttpResponse(render_to_string(template, context), status=status)
