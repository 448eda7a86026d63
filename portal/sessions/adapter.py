"""allauth's adapter: redirects, sign-up and emails, as the portal wants them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from portal.registry.destinations import checked_next


class PortalAccountAdapter(DefaultAccountAdapter):
    """``ACCOUNT_ADAPTER = "portal.sessions.adapter.PortalAccountAdapter"``."""

    def is_safe_url(self, url: str | None) -> bool:
        """Allow the portal's own pages and the exact origins of registered sites."""
        return checked_next(url or "") is not None

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Closed unless the operator opens it (``SSO_OPEN_SIGNUP=1``)."""
        return bool(settings.SSO_OPEN_SIGNUP)

    def get_reset_password_from_key_url(self, key: str) -> str:
        return at_the_portal(super().get_reset_password_from_key_url(key))

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return at_the_portal(super().get_email_confirmation_url(request, emailconfirmation))

    def format_email_subject(self, subject: str) -> str:
        return subject

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        super().send_mail(template_prefix, email, {"portal_url": settings.PORTAL_URL.geturl(), **context})


def at_the_portal(url: str) -> str:
    """Replace the origin of a URL. allauth takes it from the Host header, which an attacker can choose."""
    portal = settings.PORTAL_URL
    return urlsplit(url)._replace(scheme=portal.scheme, netloc=portal.netloc).geturl()
