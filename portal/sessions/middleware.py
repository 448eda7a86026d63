"""The portal's session middleware: the only code that sets or deletes the SSO cookie."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable
from sso_common.middleware import SessionMiddleware

from .engine import SessionStore
from .listing import is_replaced


class PortalSessionMiddleware(SessionMiddleware):
    """``sso_common``'s middleware, and the SSO cookie."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """As ``sso_common``'s. Also handles allauth's rate limits, which use Redis before the session."""
        if store.is_failure(exception):
            exception = StoreUnavailable(type(exception).__name__)
        return super().process_exception(request, exception)

    def finish_cookies(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Set the token of a session that was started, or delete that of a session that has ended.

        Nothing is deleted if that might delete the cookie of a newer sign-in. The old cookie is harmless:
        it opens nothing.
        """
        session = cast(SessionStore, request.session)
        if session.issued is not None and response.status_code < 500:
            set_sso_cookie(response, session.issued.token.value, session.issued.max_age)
        elif session.ended is not None and not is_replaced(session.ended):
            delete_sso_cookie(response)


def set_sso_cookie(response: HttpResponseBase, value: str, max_age: int | None) -> None:
    """Set the SSO cookie for the parent domain."""
    response.set_cookie(
        conf.dsn().cookie_name,
        value,
        max_age=max_age,
        domain=conf.dsn().domain,
        path="/",
        secure=True,
        httponly=True,
        samesite="Lax",
    )


def delete_sso_cookie(response: HttpResponseBase) -> None:
    """Delete the SSO cookie."""
    name = conf.dsn().cookie_name
    response.delete_cookie(name, domain=conf.dsn().domain, path="/", samesite="Lax")
    # Browsers ignore even the deletion of a __Secure- cookie if it is not Secure.
    response.cookies[name]["secure"] = True
    response.cookies[name]["httponly"] = True
