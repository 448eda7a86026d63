"""The three pages of a site: the hop to the portal's sign-in, sign-out, health.

In: a request at ``/sso/…``. Out: a redirect to the portal, or a page that says why not.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlencode

from django.conf import global_settings, settings
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from . import conf, responses, store
from .exceptions import NotAdmitted, NoToken, SSOError, StoreUnavailable

logger = logging.getLogger("sso_common.views")

#: Marks the way back from the portal, so that nobody is ever sent there twice for nothing.
RETURNED: Final = "returned"

#: What to tell a visitor who comes from the portal and still is not signed in.
EXPLANATIONS: Final = {
    "no-cookie": _("Your browser did not send the sign-in cookie to this site. It may be blocking cookies."),
    "malformed-cookie": _("The sign-in cookie that your browser sent is damaged."),
    "two-cookies": _(
        "Your browser sent two different sign-in cookies. Another site under this domain set one "
        "of its own. Delete the cookies of this domain, then sign in again."
    ),
    "ended": _("The session that you signed in to has ended already."),
    "expired": _("Your session has expired. If you just signed in, a server's clock is wrong."),
    "revoked": _("This session was ended. If you just signed in, a server's clock is wrong."),
    "inactive": _("Your account has been deactivated."),
    "unknown-key": _("This site does not know the key with which the portal signs."),
    "bad-signature": _("The portal's signature of your sign-in could not be verified."),
}
DEFAULT_EXPLANATION: Final = _("This site could not accept the sign-in from the portal.")


@method_decorator([never_cache, login_not_required], name="dispatch")
class LoginView(View):
    """``GET /sso/login/?next=``: to the portal, and back to ``next``."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return HttpResponseRedirect(safe_next(request))
        refusal: SSOError = getattr(request.session, "refusal", None) or NoToken()
        if isinstance(refusal, NotAdmitted):
            return responses.forbidden(request)
        if responses.wants_json(request):
            return responses.unauthorized(request.build_absolute_uri(reverse("sso:login")))
        if RETURNED in request.GET:
            logger.warning("Came back from the portal and is not signed in: %s", refusal)
            return responses.page(
                "sso_common/problem.html",
                403,
                reason=refusal.reason,
                explanation=EXPLANATIONS.get(refusal.reason, DEFAULT_EXPLANATION),
                retry_url=login_path(safe_next(request)),
            )
        back = f"{login_path(safe_next(request))}&{RETURNED}=1"
        return HttpResponseRedirect(portal_address("enter", request.build_absolute_uri(back)))


@method_decorator([never_cache, login_not_required, csrf_protect], name="dispatch")
class LogoutView(View):
    """``POST /sso/logout/``: sign out everywhere, then to the portal's signed-out page."""

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        address = portal_address("signed-out", request.build_absolute_uri("/"))
        if responses.wants_json(request):
            return JsonResponse({"signed_out": True, "portal": address})
        response = HttpResponseRedirect(address)
        response.status_code = 303
        return response


@method_decorator([never_cache, login_not_required], name="dispatch")
class HealthView(View):
    """``GET /sso/health/``: 200 while this site can tell who is signed in, else 503.

    A feed that lags is reported and is not a 503: the site works without the portal, and a load
    balancer must not take all sites away because the portal is down.
    """

    def get(self, request: HttpRequest) -> JsonResponse:
        report, healthy = health_report()
        return JsonResponse(report, status=200 if healthy else 503)


def health_report() -> tuple[dict[str, object], bool]:
    """What ``/sso/health/`` shows, and whether the site is healthy."""
    try:
        store.ping()
        redis = "ok"
    except (StoreUnavailable, ImproperlyConfigured) as error:
        redis = getattr(error, "detail", "") or "unavailable"
    healthy = redis == "ok"
    report: dict[str, object] = {
        "status": "ok" if healthy else "unavailable",
        "site": conf.site(),
        "redis": redis,
        "keys": [kid for kid, _key in conf.public_keys()],
        "feed": feed_report(),
    }
    return report, healthy


def feed_report() -> dict[str, object] | None:
    """How far this site has followed the feed; None where it never has."""
    from .models import FeedCursor  # this module is imported by ``admin``, before models may be

    cursor = FeedCursor.objects.first()
    if cursor is None:
        return None
    answered = cursor.synced_at
    return {
        "position": cursor.position,
        "head": cursor.head,
        "lag": cursor.lag,
        "answered": None if answered is None else answered.isoformat(timespec="seconds"),
    }


def safe_next(request: HttpRequest) -> str:
    """Where to go after sign-in: ``next`` if it is a place at this very site, else its home."""
    address = request.GET.get(REDIRECT_FIELD_NAME, "")
    if url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return address
    if settings.LOGIN_REDIRECT_URL == global_settings.LOGIN_REDIRECT_URL:
        return "/"  # Django's default names a page that a site need not have
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def login_path(next_address: str) -> str:
    """The login hop's own address."""
    return f"{reverse('sso:login')}?{urlencode({REDIRECT_FIELD_NAME: next_address})}"


def portal_address(endpoint: str, next_address: str) -> str:
    """An address at the portal that leads back to ``next_address``."""
    query = urlencode({REDIRECT_FIELD_NAME: next_address})
    return f"{conf.portal_url()}/sso/v1/{endpoint}?{query}"
