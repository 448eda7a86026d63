"""Where a visitor is sent: to the portal, to the login page, back to the page they came from."""

from __future__ import annotations

import uuid
from typing import Final
from urllib.parse import urlencode

from django.conf import global_settings, settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from . import conf, pages

#: The parameter that asks the admin for its own login form.
LOCAL: Final = "local"


def safe_next(request: HttpRequest, default: str | None = None, field: str = REDIRECT_FIELD_NAME) -> str:
    """Where to go after sign-in: ``next`` (or another field) if it is a page of this site, else ``default``.

    Without a default, ``LOGIN_REDIRECT_URL``, or "/" where a site has not set it.
    """
    address = request.POST.get(field) or request.GET.get(field, "")
    if url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return address
    if default is not None:
        return default
    if settings.LOGIN_REDIRECT_URL == global_settings.LOGIN_REDIRECT_URL:
        return "/"  # Django's default names a page that a site need not have
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def is_emergency_login(request: HttpRequest | None) -> bool:
    """Whether a request goes to a site's own login form, ``/admin/login/?local``."""
    match = getattr(request, "resolver_match", None)
    if request is None or match is None or LOCAL not in request.GET:
        return False
    return (match.url_name == "login" and "admin" in match.app_names) or pages.page_of(request) == pages.LOGIN


def login_path(next_address: str) -> str:
    """The address of the login view, which leads through the portal to ``next_address``."""
    return f"{reverse('sso:login')}?{urlencode({REDIRECT_FIELD_NAME: next_address})}"


def portal_password_address() -> str:
    """The portal's page on which users change their password."""
    return f"{conf.dsn().portal_url}/accounts/password/change/"


def portal_address(endpoint: str, next_address: str) -> str:
    """An address at the portal that leads back to ``next_address``."""
    query = urlencode({REDIRECT_FIELD_NAME: next_address})
    return f"{conf.dsn().portal_url}/sso/v1/{endpoint}?{query}"


def person_address(sub: uuid.UUID) -> str:
    """The address of a person in the portal's admin."""
    return f"{conf.dsn().portal_url}/admin/accounts/user/{sub}/change/"
