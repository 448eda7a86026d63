"""Check of the pages that the portal replaces: none is missing in the settings, and none is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from django.conf import settings
from django.core.checks import CheckMessage
from django.urls import NoReverseMatch, reverse

from sso_common import conf, pages
from sso_common.pages import LOGIN, OWN, PORTAL_PAGES, SIGN_IN

from .keys import is_portal
from .messages import Messages, check, error, warning
from .patterns import Pattern, kind_of, patterns
from .settings import are_pages_valid

#: What a page is, for the message.
NOUNS = {
    LOGIN: "shows a login form of its own, which does not accept the portal's passwords",
    "password": "changes a password of this site, which the portal's users do not have",
    "reset": "sets a new password of this site, which the portal's users do not have",
    "signup": "creates users whom the portal does not know",
    "email": "changes an address that the next change at the portal overwrites",
}


@check
def check_pages() -> Messages:
    """The portal replaces the login and account pages of other apps, and the settings name existing pages."""
    if is_portal() or not are_pages_valid() or not is_included():
        return
    found = list(patterns())
    yield from wrong_entries(found)
    uncovered = {each.entry: each for each in found if kind_of(each) and not is_listed(each)}
    missing = {entry: kind_of(each) for entry, each in uncovered.items()}
    for each in uncovered.values():
        yield report(each, missing)


def is_included() -> bool:
    """Whether the URLconf has the URLs of sso_common; if not, E019 says so."""
    try:
        return bool(reverse("sso:login"))
    except NoReverseMatch:
        return False


def is_listed(pattern: Pattern) -> bool:
    """Whether the settings name a page, also to keep it as it is."""
    listed = pages.listed()
    path = None if pattern.path is None else pages.plain(pattern.path, settings.ROOT_URLCONF)
    return pattern.name in listed or path in listed


def report(pattern: Pattern, missing: dict[str, str]) -> CheckMessage:
    """Report a page, with the line to write for all of them."""
    kind = missing[pattern.entry]
    message = f"The page {pattern.path or pattern.name} {NOUNS[kind]}."
    if kind != LOGIN:
        return warning(
            "W019",
            message,
            f"Write in the settings: {account_line(missing)} (or {quote(OWN)} in place of {quote(kind)}, to "
            "keep the page as it is)",
        )
    if pattern.admin_site:
        return warning(
            "W011",
            message,
            'In INSTALLED_APPS, write "sso_common.admin.SSOAdminConfig" in place of "django.contrib.admin". '
            f"For an admin site of another class, write in the settings: {login_line(missing)}",
        )
    return warning(
        "W018",
        message,
        f"Write in the settings: {login_line(missing)} (or, to keep the page for users who are not "
        f"linked to the portal: SSO_ACCOUNT_PAGES = {{{quote(pattern.entry)}: {quote(OWN)}}})",
    )


def login_line(missing: dict[str, str]) -> str:
    """The whole setting with the missing pages."""
    names = [entry for entry, kind in missing.items() if kind == LOGIN]
    return f"SSO_LOGIN_PAGES = {quoted([*conf.login_pages(), *names])}"


def account_line(missing: dict[str, str]) -> str:
    """The whole setting with the missing pages."""
    entries = conf.account_pages() | {entry: kind for entry, kind in missing.items() if kind != LOGIN}
    items = ", ".join(f"{quote(entry)}: {quote(page)}" for entry, page in entries.items())
    return f"SSO_ACCOUNT_PAGES = {{{items}}}"


def wrong_entries(found: Iterable[Pattern]) -> Messages:
    """Report entries of the settings that name no page of this site, or no page of the portal."""
    names = {each.name for each in found}
    paths = {pages.plain(each.path, settings.ROOT_URLCONF) for each in found if each.path is not None}
    for entry, page in pages.listed().items():
        if entry not in names | paths and not (pages.is_path(entry) and is_found(entry)):
            alike = difflib.get_close_matches(entry, names | paths, 3, 0.7)
            yield error(
                "E031",
                f"SSO_LOGIN_PAGES or SSO_ACCOUNT_PAGES contains {entry!r}, which is no page of this site.",
                "Write the path of a page, or the name of its URL pattern with all namespaces"
                f"{f' (perhaps {quoted(alike)})' if alike else ''}.",
            )
        elif page not in {LOGIN, OWN, SIGN_IN, *PORTAL_PAGES}:
            yield error(
                "E033",
                f"SSO_ACCOUNT_PAGES maps {entry!r} to {page!r}, which is no page of the portal.",
                f"Write one of {quoted([*PORTAL_PAGES, SIGN_IN, OWN])} in its place.",
            )


def is_found(path: str) -> bool:
    """Whether some URL pattern, such as a catch-all one, has this path."""
    return pages.find(pages.without_script_prefix(path), settings.ROOT_URLCONF) is not None


def quoted(names: Iterable[str]) -> str:
    """Names as a list in a settings module."""
    return f"[{', '.join(map(quote, names))}]"


def quote(name: str) -> str:
    return f'"{name}"'
