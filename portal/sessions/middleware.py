"""The only code that sets or deletes the SSO cookie.

In: what a sign-in or sign-out left on the request. Out: one Set-Cookie. It deletes nothing while a
fresh sign-in might be overwritten: a cookie whose record is gone opens nothing anyway.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable
from sso_common.middleware import SessionMiddleware

from . import services


class PortalSessionMiddleware(SessionMiddleware):
    """``sso_common``'s middleware, and the SSO cookie."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The rate limits are in Redis, too, and allauth asks them before anybody asks the session."""
        if store.is_failure(exception):
            exception = StoreUnavailable(type(exception).__name__)
        return super().process_exception(request, exception)

    def finish_cookies(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Give the browser its new session token, or take back one that opens nothing any more."""
        issued = getattr(request, "sso_issued", None)
        ended = getattr(request, "sso_ended", None)
        if issued is not None and response.status_code < 500:
            token, max_age = issued
            response.set_cookie(
                conf.cookie_name(),
                token.value,
                max_age=max_age,
                domain=conf.domain(),
                path="/",
                secure=True,
                httponly=True,
                samesite="Lax",
            )
        elif ended is not None and not services.is_replaced(ended):
            response.delete_cookie(conf.cookie_name(), domain=conf.domain(), path="/", samesite="Lax")
            # A browser refuses even the deletion of a __Secure- cookie that is not Secure.
            response.cookies[conf.cookie_name()]["secure"] = True
            response.cookies[conf.cookie_name()]["httponly"] = True
