"""Sends visitors on to the portal: to sign in, or to its pages for passwords and accounts.

Called by this package's own views, and by the middleware for the pages of other apps (``pages``).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from django.conf import global_settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import escape_leading_slashes

from . import cookies, pages, responses
from .addresses import LOCAL, login_path, portal_address, safe_next
from .exceptions import NotAdmitted
from .http import SSORequest, User

#: Marks the way back from the portal, so that a visitor is never sent there again in a loop.
RETURNED: Final = "returned"

#: Redirects of a signed-in user from a login page to the same page, in quick succession, before it is taken
#: for a loop. More than one, because people click twice.
MOST_TIMES: Final = 2
#: The same after a click: each takes two of the 20 redirects that browsers follow.
MOST_CLICKS: Final = 5


def replace_page(request: SSORequest, page: str, user: User) -> HttpResponse | None:
    """Answer in place of a page of this site, or return None where it remains as it is.

    ``page`` is that of ``pages.page_of``, and ``user`` the user of the request.
    """
    if page == pages.LOGIN:
        response = replace_login(request, user)
    elif page == pages.SIGN_IN:
        response = None if user.is_authenticated else enter(request, user, request.get_full_path())
    elif user.is_authenticated and request.session.known_identity is None:
        return None  # a local login: password and account are local, too
    else:
        response = to_portal_page(request, page)
    if response is not None:
        add_never_cache_headers(response)
    return response


def replace_login(request: SSORequest, user: User) -> HttpResponse | None:
    """Answer in place of a login page; ``?local`` asks for its own form, in an emergency."""
    if LOCAL in request.GET:
        return None
    here = escape_leading_slashes(request.path)
    if request.method == "POST" and came_from_local_form(request):
        # Some forms post to the bare address. With ``local``, the form is shown again after a mistake.
        return HttpResponseRedirect(f"{here}?{LOCAL}", preserve_request=True)
    target = safe_next(request, default=here, field=next_field(request))
    if user.is_authenticated and request.method != "POST" and target == here:
        return None  # the app itself may know where to go; ``refusals`` replaces its form
    return enter(request, user, target)


def came_from_local_form(request: HttpRequest) -> bool:
    """Whether a form was sent from this same page, at its address with ``?local``."""
    try:
        referer = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return False
    is_same_page = referer.netloc == request.get_host() and referer.path == request.path
    return is_same_page and LOCAL in parse_qs(referer.query, keep_blank_values=True)


def enter(request: SSORequest, user: User, target: str) -> HttpResponse:
    """Sign in at the portal, then return to ``target``, a page of this site.

    A user who is signed in returns at once. 403 for a user without access, and 401 for scripts.
    """
    if user.is_authenticated:
        return return_to(request, target)
    if isinstance(getattr(request.session, "refusal", None), NotAdmitted):
        return responses.forbidden(request)
    if responses.wants_json(request):
        return responses.unauthorized(request.build_absolute_uri(reverse("sso:login")))
    back = request.build_absolute_uri(f"{login_path(target)}&{RETURNED}=1")
    return responses.onward(request, portal_address("enter", back))


def return_to(request: HttpRequest, target: str) -> HttpResponse:
    """Redirect a signed-in user to the page that they want.

    403 if that page, or a script in it, keeps sending them back here: they have no access to it.
    """
    response: HttpResponse = HttpResponseRedirect(target)
    if RETURNED in request.GET:
        return response
    times = cookies.times_sent_to(request, target) + 1
    # Browsers send Sec-Fetch-User with every redirect that follows a click, and give up after 20 of them.
    if times > (MOST_CLICKS if request.headers.get("Sec-Fetch-User") == "?1" else MOST_TIMES):
        return responses.forbidden(request)
    cookies.count_sent_to(response, target, times)
    return response


def to_portal_page(request: HttpRequest, page: str) -> HttpResponse:
    """Send a visitor to a page of the portal that replaces pages of this site; 403 for scripts."""
    address = portal_address(f"page/{page}", request.build_absolute_uri(safe_next(request, default="/")))
    if responses.wants_json(request):
        return responses.at_the_portal(address)
    return responses.onward(request, address)


def next_field(request: HttpRequest) -> str:
    """What a login page of another app calls ``next``."""
    view: Any = request.resolver_match and request.resolver_match.func
    options, view_class = getattr(view, "view_initkwargs", {}), getattr(view, "view_class", None)
    name = options.get("redirect_field_name") or getattr(view_class, "redirect_field_name", None)
    return name or REDIRECT_FIELD_NAME


def start_page(request: HttpRequest) -> str:
    """Where a login page of another app sends users who want no particular page, as far as it says so."""
    view: Any = request.resolver_match and request.resolver_match.func
    view_class = getattr(view, "view_class", None)
    default = None
    if isinstance(view_class, type) and issubclass(view_class, LoginView):
        instance = view_class(**view.view_initkwargs)
        instance.setup(request)
        default = resolve_url(instance.get_success_url())
    # Django's default is a page that few sites have.
    return safe_next(request, None if default == global_settings.LOGIN_REDIRECT_URL else default)
