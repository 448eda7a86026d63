"""Decides what takes the place of a redirect to a login page, or of a login form: 401, 403 or a redirect."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qs, unquote, urljoin, urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.functional import SimpleLazyObject, empty

from . import forwarding, pages, responses
from .addresses import LOCAL, login_path
from .exceptions import NotAdmitted
from .http import User, session_of


def replace_response(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return the response, or what takes the place of a redirect to a login page, or of a login form."""
    if is_login_redirect(request, response):
        return replace_login_redirect(request, response)
    if shows_login_form(request, response) and is_signed_in(request):
        return forwarding.return_to(request, forwarding.start_page(request))
    return response


def replace_login_redirect(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return a redirect to a login page, or a 401 or 403 in its place.

    403 for a user who is signed in, if the user has no access to this site or would be sent straight
    back to this page, forever. 401 for scripts, which could not follow the redirect.
    """
    is_way_back = leads_back(request, response)
    if is_signed_in(request) and (is_not_admitted(request) or is_way_back):
        return responses.forbidden(request)
    if responses.wants_json(request):
        return responses.unauthorized(request.build_absolute_uri(resolve_url(settings.LOGIN_URL)))
    if is_way_back and pages.page_at(location_of(request, response).path, pages.urlconf_of(request)):
        # In place of the other app's login page, which may not know the whole address.
        response.headers["Location"] = login_path(request.get_full_path())
    return response


def shows_login_form(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the response is a login form of another app that the portal replaces."""
    is_page = response.status_code == 200 and request.method == "GET" and LOCAL not in request.GET
    return is_page and pages.page_of(request) == pages.LOGIN


def is_login_redirect(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether a response redirects from another page to a login page of this site."""
    if response.status_code not in {302, 303}:
        return False
    target = location_of(request, response)
    here = urlsplit(request.build_absolute_uri())
    if target.netloc != here.netloc or is_same_page(target.path, here.path):
        return False
    is_login_url = is_same_page(target.path, urlsplit(resolve_url(settings.LOGIN_URL)).path)
    return is_login_url or pages.page_at(target.path, pages.urlconf_of(request)) == pages.LOGIN


def location_of(request: HttpRequest, response: HttpResponseBase) -> SplitResult:
    """Where a response redirects to."""
    return address(request, response.headers.get("Location", ""))


def address(request: HttpRequest, text: str) -> SplitResult:
    """An address as seen from the page that was requested; an empty one where it is not valid."""
    try:
        return urlsplit(urljoin(request.build_absolute_uri(), text))
    except ValueError:
        return urlsplit("")


def is_same_page(path: str, other: str) -> bool:
    """Whether two paths differ at most in their last slash, which Django appends."""
    return path.rstrip("/") == other.rstrip("/")


def leads_back(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the login page would redirect to this page, as it does after ``login_required``.

    Some apps have another name for ``next``, and some do not quote the address in it twice.
    """
    query = parse_qs(location_of(request, response).query)
    targets = [query[REDIRECT_FIELD_NAME]] if REDIRECT_FIELD_NAME in query else query.values()
    return any(unquote(address(request, each[-1]).path) == request.path for each in targets)


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
