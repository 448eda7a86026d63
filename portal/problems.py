"""Error pages. They use neither the session nor the user, because these may be what failed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def bad_request(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400"""
    return problem("400.html", 400)


def forbidden(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403"""
    return problem("403.html", 403)


def csrf_failure(_request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without a valid token, usually because the page was open for a long time."""
    return problem("403_csrf.html", 403)


def not_found(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404"""
    return problem("404.html", 404)


def server_error(_request: HttpRequest) -> HttpResponse:
    """500"""
    return problem("500.html", 500)


def problem(template: str, status: int) -> HttpResponse:
    """Render an error page without a request."""
    return HttpResponse(render_to_string(template), status=status)
