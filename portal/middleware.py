"""The portal's Content-Security-Policy.

Where passwords are typed, nothing runs that is not a file of the portal's own. Django has a setting for
this from 6.0 on; the portal supports 5.2, too.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# form-action is left open on purpose: the sign-in form's answer redirects to the site one came from, and
# browsers apply the directive to redirects, too. Where that leads is checked by registry.origins.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ContentSecurityPolicyMiddleware:
    """Adds the header to every response that has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
