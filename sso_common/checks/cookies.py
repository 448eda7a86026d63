"""Checks of the site's own cookies: the session cookie, and the CSRF cookie with its trusted origins."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from sso_common.domains import is_under

from .keys import valid_dsn
from .messages import Messages, check, error, warning

WRITE_NAME = 'Write in the settings: SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True'


@check
def check_cookies() -> Messages:
    """The session cookie belongs to this host alone and is not the SSO cookie."""
    yield from wrong_name(settings.SESSION_COOKIE_NAME)
    if settings.SESSION_COOKIE_DOMAIN:
        yield error(
            "E014",
            f"SESSION_COOKIE_DOMAIN is {settings.SESSION_COOKIE_DOMAIN!r}: other sites would receive this "
            "site's session cookie. The sites share only the SSO cookie, which the portal sets.",
            "Remove SESSION_COOKIE_DOMAIN from the settings.",
        )
    if settings.SESSION_COOKIE_PATH != "/":
        yield warning(
            "W003",
            f"SESSION_COOKIE_PATH is {settings.SESSION_COOKIE_PATH!r} and has no effect: a cookie with the "
            'prefix __Host- always has the path "/".',
            "Remove SESSION_COOKIE_PATH from the settings.",
        )


def wrong_name(name: str) -> Messages:
    """Report a name that other sites can use, or that browsers do not accept."""
    dsn = valid_dsn()
    if dsn is not None and name == dsn.cookie_name:
        yield error(
            "E011",
            f"SESSION_COOKIE_NAME is {name!r}: that is the SSO cookie, which only the portal may set.",
            WRITE_NAME,
        )
    elif not name.startswith("__Host-"):
        yield warning(
            "W001",
            f"SESSION_COOKIE_NAME is {name!r}: without the prefix __Host-, another site under the parent "
            "domain can plant a session cookie here.",
            WRITE_NAME,
        )
    elif not settings.SESSION_COOKIE_SECURE:
        yield warning(
            "W002",
            f"SESSION_COOKIE_SECURE is off: browsers refuse a cookie named {name} that is not Secure.",
            "Write in the settings: SESSION_COOKIE_SECURE = True",
        )


@check
def check_csrf() -> Messages:
    """The CSRF cookie belongs to this host alone, and no wildcard trusts other sites."""
    if settings.CSRF_COOKIE_DOMAIN:
        yield error(
            "E015",
            f"CSRF_COOKIE_DOMAIN is {settings.CSRF_COOKIE_DOMAIN!r}: every site under it can forge form "
            "submissions to this one.",
            "Remove CSRF_COOKIE_DOMAIN from the settings.",
        )
    dsn = valid_dsn()
    if dsn is None:
        return
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        host = urlsplit(origin).netloc
        if host.startswith("*.") and is_under(dsn.domain, host[2:]):
            yield warning(
                "W012",
                f"CSRF_TRUSTED_ORIGINS contains {origin!r}: every other site under {dsn.domain} can submit "
                "forms here in the name of a user who visits it.",
                f"In CSRF_TRUSTED_ORIGINS, write the exact origins in place of {origin!r}.",
            )
