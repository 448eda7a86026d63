"""The views of a site, under ``/sso/``: sign in at the portal, its pages for accounts, sign out, health."""

from __future__ import annotations

import logging
from typing import Final

from django.contrib.auth import get_user, logout
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from . import conf, responses, store
from .addresses import login_path, portal_address, safe_next
from .exceptions import NotAdmitted, NoToken, SSOError, StoreUnavailable, UserReplaced
from .forwarding import RETURNED, enter, to_portal_page
from .http import sso_request

logger = logging.getLogger("sso_common.views")

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
        refusal = None if request.user.is_authenticated else find_refusal(request)
        # The portal cannot help where a user is signed in and the site does not see it.
        is_trouble = RETURNED in request.GET or isinstance(refusal, UserReplaced)
        is_known = isinstance(refusal, NotAdmitted)
        if refusal is None or is_known or not is_trouble or responses.wants_json(request):
            return enter(sso_request(request), request.user, safe_next(request))
        logger.warning("A visitor cannot be signed in: %s", refusal, extra={"reason": refusal.reason})
        return responses.page(
            "sso_common/problem.html",
            403,
            reason=refusal.reason,
            explanation=EXPLANATIONS.get(refusal.reason, DEFAULT_EXPLANATION),
            retry_url=login_path(safe_next(request)),
        )


def find_refusal(request: HttpRequest) -> SSOError:
    """Why the user of a request is not authenticated."""
    if get_user(request).is_authenticated:
        return UserReplaced(f"by {request.user.__class__.__module__}.{request.user.__class__.__qualname__}")
    return getattr(request.session, "refusal", None) or NoToken()


@method_decorator([never_cache, login_not_required, csrf_protect], name="dispatch")
class LogoutView(View):
    """``POST /sso/logout/``: sign out everywhere, then go to the portal's signed-out page."""

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        address = portal_address("signed-out", request.build_absolute_uri("/"))
        if responses.wants_json(request):
            return JsonResponse({"signed_out": True, "portal": address})
        return responses.onward(request, address, 303)


@method_decorator([never_cache, login_not_required], name="dispatch")
class PortalPageView(View):
    """``GET /sso/password/``, for example: a page of the portal that leads back to ``next``."""

    page = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return to_portal_page(request, self.page)


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
