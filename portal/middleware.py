"""The portal's Content-Security-Policy.

On pages where users type passwords, browsers run only the portal's own files. Django has a setting for
this since 6.0, but the portal supports 5.2 too.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Without form-action: browsers also apply it to redirects, and the sign-in form redirects to the site that
# the user came from. ``registry.destinations`` checks these redirects.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ContentSecurityPolicyMiddleware:
    """Adds the header to responses that do not have it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
