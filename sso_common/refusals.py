"""Decides whether a redirect to the login page is answered with 401 or 403 instead."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.functional import SimpleLazyObject, empty

from . import responses
from .exceptions import NotAdmitted
from .http import User, session_of


def replace_login_redirect(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return the response, or a 401 or 403 in place of a redirect to the login page.

    403 for a user who is signed in, if the user has no access to this site or would be sent straight
    back to this page, forever. 401 for scripts, which could not follow the redirect.
    """
    if not is_login_redirect(request, response):
        return response
    if is_signed_in(request) and (is_not_admitted(request) or leads_back(request, response)):
        return responses.forbidden(request)
    if responses.wants_json(request):
        return responses.unauthorized(request.build_absolute_uri(resolve_url(settings.LOGIN_URL)))
    return response


def is_login_redirect(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether a response redirects from another page to ``LOGIN_URL`` of this site."""
    if response.status_code not in {302, 303}:
        return False
    location = urlsplit(response.headers.get("Location", ""))
    if location.netloc not in {"", request.get_host()}:
        return False
    return location.path == urlsplit(resolve_url(settings.LOGIN_URL)).path != request.path


def leads_back(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the login page would redirect to this page, as it does after ``login_required``."""
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    target = urlsplit(query.get(REDIRECT_FIELD_NAME, [""])[-1])
    return target.path == urlsplit(request.build_absolute_uri()).path


def is_not_admitted(request: HttpRequest) -> bool:
    """Whether a user is signed in who has no access to this site."""
    session = session_of(request)
    return session is not None and isinstance(session.refusal, NotAdmitted)


def is_signed_in(request: HttpRequest) -> bool:
    """Whether the view has found a user to be signed in, even without access. Reads nothing."""
    session = session_of(request)
    if session is None:
        return False
    if is_not_admitted(request):
        return True
    # Check the session as well: after alogout(), the cached user is still there.
    user = found_user(request)
    is_open = session.known_identity is not None or session.has_local_login()
    return user is not None and user.is_authenticated and is_open


def found_user(request: HttpRequest) -> User | None:
    """The user whom a view has found in a request, or None. Reads nothing."""
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):  # ours, or that of a product
        user = user.__dict__["_wrapped"]
    return getattr(request, "_cached_user", None) if user is None or user is empty else user
