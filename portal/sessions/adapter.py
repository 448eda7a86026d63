"""allauth's adapter: where people may be sent after signing in, and who may sign up."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from portal.registry.origins import safe_next

security_logger = logging.getLogger("django.security.sso")


class PortalAccountAdapter(DefaultAccountAdapter):
    """The few decisions about accounts that are the portal's own."""

    def is_safe_url(self, url: str | None) -> bool:
        """Only registered sites' exact origins and the portal's own pages; see ``registry.origins``."""
        if not url:
            return False
        if safe_next(url) is None:
            # Cut: whoever made it up chose its length and its words, too.
            security_logger.warning("Refused to redirect to %r", url[:200], extra={"reason": "unsafe-next"})
            return False
        return True

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Closed unless the operator opens it (``SSO_OPEN_SIGNUP=1``)."""
        return bool(settings.SSO_OPEN_SIGNUP)

    def get_reset_password_from_key_url(self, key: str) -> str:
        return _at_the_portal(super().get_reset_password_from_key_url(key))

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return _at_the_portal(super().get_email_confirmation_url(request, emailconfirmation))

    def format_email_subject(self, subject: str) -> str:
        return subject

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        super().send_mail(template_prefix, email, {"portal_url": settings.PORTAL_URL.geturl(), **context})


def _at_the_portal(url: str) -> str:
    """allauth goes by the Host header: a stranger would choose where a mailed link leads."""
    portal = settings.PORTAL_URL
    return urlsplit(url)._replace(scheme=portal.scheme, netloc=portal.netloc).geturl()
