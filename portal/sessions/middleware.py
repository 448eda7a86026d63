"""The portal's session middleware: the only code that sets or deletes the SSO cookie and the portal's own."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers

from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable
from sso_common.flows import Flow
from sso_common.middleware import SessionMiddleware
from sso_common.sessions import SessionStore as SiteSessionStore

from . import portal_cookie
from .engine import SessionStore


class PortalSessionMiddleware(SessionMiddleware):
    """``sso_common``'s middleware, the SSO cookie, and the portal's own cookie."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        cast(SessionStore, request.session).portal_token = portal_cookie.take_token(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """As ``sso_common``'s. Also handles allauth's rate limits, which use Redis before the session."""
        if store.is_failure(exception):
            exception = StoreUnavailable(type(exception).__name__)
        return super().process_exception(request, exception)

    def save_flow(
        self, request: HttpRequest, session: SiteSessionStore, response: HttpResponseBase
    ) -> Flow[None]:
        """As ``sso_common``'s. No page that is about the visitor is stored."""
        yield from super().save_flow(request, session, response)
        if session.accessed:
            add_never_cache_headers(response)

    def finish_cookies(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Set the cookies of a session that was started or restored, or delete the SSO cookie of one that
        has ended."""
        session = cast(SessionStore, request.session)
        if session.new_cookies is not None and response.status_code < 500:
            token, portal_token, max_age = session.new_cookies
            if token is not None:
                set_sso_cookie(response, token.value, max_age)
                session.presented = token
            if portal_token is not None:
                portal_cookie.set_cookie(response, portal_token, max_age)
        elif session.is_over:
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
