"""Settings of site A with a strict Content-Security-Policy: Django's own (since 6.0), or set by hand."""

from collections.abc import Callable

import django
from django.http import HttpRequest, HttpResponse

from site_a.settings import *  # noqa: F403

POLICY = "default-src 'self'; form-action 'self'"


def policy_by_hand(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return middleware


if django.VERSION >= (6, 0):
    MIDDLEWARE = ["django.middleware.csp.ContentSecurityPolicyMiddleware", *MIDDLEWARE]  # noqa: F405
    SECURE_CSP = {"default-src": ["'self'"], "form-action": ["'self'"]}
else:
    MIDDLEWARE = ["tests.stories.strict_site.policy_by_hand", *MIDDLEWARE]
