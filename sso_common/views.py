"""The three views of a site, under ``/sso/``: sign in at the portal, sign out, health."""

from __future__ import annotations

import logging
from typing import Final

from django.contrib.auth import get_user, logout
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from . import conf, responses, store
from .addresses import login_path, portal_address, safe_next
from .exceptions import NotAdmitted, NoToken, SSOError, StoreUnavailable, UserReplaced

logger = logging.getLogger("sso_common.views")

#: Marks the way back from the portal, so that a visitor is never sent there again in a loop.
RETURNED: Final = "returned"

#: What to tell a visitor who returns from the portal and is still not signed in.
EXPLANATIONS: Final = {
    "no-cookie": _("Your browser did not send the sign-in cookie to this site. It may be blocking cookies."),
    "malformed-cookie": _("The sign-in cookie that your browser sent is damaged."),
    "two-cookies": _(
        "Your browser sent two different sign-in cookies. Another site in this domain has set one of "
        "them. Delete the cookies for this domain, then sign in again."
    ),
    "ended": _("Your session has already ended."),
    "expired": _("Your session has expired. If you just signed in, a server's clock is wrong."),
    "revoked": _("Your session was ended. If you just signed in, a server's clock is wrong."),
    "inactive": _("Your account has been deactivated."),
    "unknown-key": _("This site doesn't recognize the portal's signing key."),
    "user-replaced": _(
        "You are signed in, but a part of this site treats you as signed out. This is a mistake in the "
        "site's configuration. Its administrators can find it with “manage.py sso_doctor”."
    ),
    "bad-signature": _("This site couldn't verify the portal's signature."),
}
DEFAULT_EXPLANATION: Final = _("This site couldn't accept your sign-in from the portal.")


@method_decorator([never_cache, login_not_required], name="dispatch")
class LoginView(View):
    """``GET /sso/login/?next=``: sign in at the portal, then return to ``next``."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return HttpResponseRedirect(safe_next(request))
        refusal = find_refusal(request)
        if isinstance(refusal, NotAdmitted):
            return responses.forbidden(request)
        if responses.wants_json(request):
            return responses.unauthorized(request.build_absolute_uri(reverse("sso:login")))
        # The portal cannot help where a user is signed in and the site does not see it.
        if RETURNED in request.GET or isinstance(refusal, UserReplaced):
            logger.warning("A visitor cannot be signed in: %s", refusal, extra={"reason": refusal.reason})
            return responses.page(
                "sso_common/problem.html",
                403,
                reason=refusal.reason,
                explanation=EXPLANATIONS.get(refusal.reason, DEFAULT_EXPLANATION),
                retry_url=login_path(safe_next(request)),
            )
        back = f"{login_path(safe_next(request))}&{RETURNED}=1"
        return HttpResponseRedirect(portal_address("enter", request.build_absolute_uri(back)))


def find_refusal(request: HttpRequest) -> SSOError:
    """Why the user of a request is not authenticated."""
    if get_user(request).is_authenticated:
        return UserReplaced(f"by {request.user.__class__.__module__}.{request.user.__class__.__qualname__}")
    return getattr(request.session, "refusal", None) or NoToken()


@method_decorator([never_cache, login_not_required, csrf_protect], name="dispatch")
class LogoutView(View):
    """``POST /sso/logout/``: sign out everywhere, then redirect to the portal's signed-out page."""

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
    """``GET /sso/health/``: 200 while this site can find out who is signed in, else 503.

    A feed that lags is reported, but it is not a 503. Sites work without the portal, and a load
    balancer must not remove all of them because the portal is down.
    """

    def get(self, request: HttpRequest) -> JsonResponse:
        report, healthy = health_report()
        return JsonResponse(report, status=200 if healthy else 503)


def health_report() -> tuple[dict[str, object], bool]:
    """What ``/sso/health/`` shows, and whether the site is healthy."""
    redis = database = "ok"
    feed = None
    try:
        store.ping()
    except (StoreUnavailable, ImproperlyConfigured) as error:
        redis = getattr(error, "detail", "") or "unavailable"
    try:
        feed = feed_report()
    except DatabaseError as error:
        database = type(error).__name__
    healthy = redis == database == "ok"
    report: dict[str, object] = {
        "status": "ok" if healthy else "unavailable",
        "site": conf.dsn().site,
        "redis": redis,
        "database": database,
        "keys": [kid for kid, _key in conf.dsn().public_keys],
        "feed": feed,
    }
    return report, healthy


def feed_report() -> dict[str, object] | None:
    """How far this site has followed the feed, or None if it never has."""
    from .models import FeedCursor  # admin.py imports this module before models can be imported

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
