"""Where a visitor may be sent back to: a registered site, or the portal."""

from __future__ import annotations

import logging

from sso_common import conf

from .models import Site
from .origins import URL, origin_of

security_logger = logging.getLogger("django.security.sso")


def safe_next(url: str) -> str | None:
    """Return the URL if it leads to the portal or to an active site's exact origin, else None.

    A path such as ``/account/`` leads to the portal.
    """
    if URL.fullmatch(url) and url.startswith("/") and not url.startswith("//"):
        return url
    origin = origin_of(url)
    if origin is None:
        return None
    if origin == origin_of(conf.dsn().portal_url):
        return url
    return url if Site.objects.filter(origin=origin, is_active=True).exists() else None


def checked_next(url: str) -> str | None:
    """``safe_next`` for a URL from a request. Logs a refused one."""
    target = safe_next(url) if url else None
    if url and target is None:
        # Cut, because an attacker chose its length and its words.
        security_logger.warning("Refused to redirect to %r", url[:200], extra={"reason": "unsafe-next"})
    return target


def site_at(url: str | None) -> Site | None:
    """Return the active site whose origin a URL has, or None."""
    origin = origin_of(url or "")
    return Site.objects.filter(origin=origin, is_active=True).first() if origin else None
