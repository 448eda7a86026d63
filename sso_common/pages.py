"""The pages of this site that the portal replaces: its login forms, and pages for passwords and accounts.

``SSO_LOGIN_PAGES`` and ``SSO_ACCOUNT_PAGES`` name each of them, by its path ("/accounts/login/") or by the
name of its URL pattern ("account_login"). Nothing here reads the session.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import Resolver404, ResolverMatch, get_script_prefix, resolve
from django.utils import translation

from . import conf

#: What replaces a page: signing in at the portal, or one of the portal's pages.
LOGIN: Final = "login"
PORTAL_PAGES: Final = ("account", "password", "reset", "email", "signup")
#: In ``SSO_ACCOUNT_PAGES``: nothing replaces the page, and no check reports it.
OWN: Final = "local"
#: In ``SSO_ACCOUNT_PAGES``: nothing replaces the page for users who are signed in. Others sign in first.
SIGN_IN: Final = "sign-in"


@functools.lru_cache(maxsize=1)
def replaced() -> dict[str, str]:
    """{path as in ``plain``, or name: what replaces the page}, from the settings."""
    return {name: page for name, page in listed().items() if page in {LOGIN, SIGN_IN, *PORTAL_PAGES}}


def listed() -> dict[str, str]:
    """``replaced`` and the pages that stay as they are (``OWN``)."""
    pages = dict.fromkeys(conf.login_pages(), LOGIN) | conf.account_pages()
    return {
        plain(name, settings.ROOT_URLCONF) if is_path(name) else name: page for name, page in pages.items()
    }


@receiver(setting_changed, dispatch_uid="sso_common.pages")
def forget_pages(**kwargs: object) -> None:
    """Read the settings again after a test has changed one."""
    replaced.cache_clear()


def is_path(name: str) -> bool:
    """Whether an entry of the settings is a path, not the name of a URL pattern."""
    return name.startswith("/")


def page_of(request: HttpRequest) -> str:
    """What replaces the page that was requested; "" where nothing does. Needs a resolved request."""
    match = request.resolver_match
    if not replaced() or match is None or "sso" in match.app_names:
        return ""
    return replaced().get(match.view_name) or by_path([request.path, request.path_info], urlconf_of(request))


def page_at(path: str, urlconf: str) -> str:
    """What replaces the page at a path of this site (as in a ``Location``); "" where nothing does."""
    if not replaced():
        return ""
    path = unquote(path)
    info = without_script_prefix(path)
    if page := by_path([path, info], urlconf):
        return page
    match = find(info, urlconf)
    return "" if match is None else replaced().get(match.view_name, "")


def by_path(paths: Iterable[str], urlconf: str) -> str:
    """What replaces the page at the first of these paths that the settings name."""
    pages = replaced()
    return next((pages[name] for name in (plain(path, urlconf) for path in paths) if name in pages), "")


def plain(path: str, urlconf: str) -> str:
    """A path without its last slash and without the language that ``i18n_patterns`` puts before it."""
    if language := language_in(path, urlconf):
        path = path[len(language) + 1 :]
    return path.rstrip("/")


def language_in(path: str, urlconf: str) -> str:
    """The language with which ``i18n_patterns`` lets a path begin, or ""."""
    if not (settings.USE_I18N and is_language_prefix_patterns_used(urlconf)[0]):
        return ""
    return path.split("/")[1] if translation.get_language_from_path(path) else ""


def find(path: str, urlconf: str) -> ResolverMatch | None:
    """The URL pattern of a path without the script prefix, with or without its last slash, or None."""
    language = language_in(path, urlconf) or translation.get_language()
    with translation.override(language):
        for each in (path, f"{path}/") if settings.APPEND_SLASH else (path,):
            try:
                return resolve(each, urlconf)
            except Resolver404:
                continue
    return None


def without_script_prefix(path: str) -> str:
    """A path as the URLconf sees it: without ``FORCE_SCRIPT_NAME``."""
    prefix = get_script_prefix()
    return path[len(prefix) - 1 :] if path.startswith(prefix) else path


def urlconf_of(request: HttpRequest) -> str:
    """The URLconf of a request; a middleware may have chosen another than ``ROOT_URLCONF``."""
    return getattr(request, "urlconf", None) or settings.ROOT_URLCONF
