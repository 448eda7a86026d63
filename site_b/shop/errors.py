"""Error responses: JSON under ``/api/``, a page elsewhere."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import csrf, defaults

API = "/api/"


def api_error(status: int, code: str, detail: str) -> JsonResponse:
    """Return an error of the API: ``{"error": <stable code>, "detail": <text for people>}``."""
    return JsonResponse({"error": code, "detail": detail}, status=status)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    if request.path_info.startswith(API):
        return api_error(404, "not_found", "Not found.")
    return defaults.page_not_found(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    if request.path_info.startswith(API):
        return api_error(403, "not_allowed", "You don't have permission to do this.")
    return defaults.permission_denied(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500."""
    if request.path_info.startswith(API):
        return api_error(500, "broken", "An error occurred on the server. It has been logged.")
    return defaults.server_error(request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form or an API call without the CSRF token."""
    if request.path_info.startswith(API):
        return api_error(403, "csrf", "Send the value of the CSRF cookie in the header X-CSRFToken.")
    return csrf.csrf_failure(request, reason=reason)
