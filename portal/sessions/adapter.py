"""allauth's adapter: redirects, sign-up and emails, as the portal wants them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Lower
from django.http import HttpRequest

from portal.registry.destinations import checked_next

from .claims import claim_once
from .guessing import limit_key


class PortalAccountAdapter(DefaultAccountAdapter):
    """``ACCOUNT_ADAPTER = "portal.sessions.adapter.PortalAccountAdapter"``."""

    def is_safe_url(self, url: str | None) -> bool:
        """Allow the portal's own pages and the exact origins of registered sites."""
        return checked_next(url or "") is not None

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Closed unless the operator opens it (``SSO_OPEN_SIGNUP=1``)."""
        return bool(settings.SSO_OPEN_SIGNUP)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Name the limit by the account. allauth's depends on the Host header and on what was typed."""
        return limit_key(request, credentials.get("email") or credentials.get("username") or "")

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """As allauth's, for the first of several simultaneous requests, so that one mail is sent."""
        if not claim_once(f"confirm:{email_address.pk}", seconds=60):
            return False
        with transaction.atomic():
            yield_address(email_address)
            return bool(super().confirm_email(request, email_address))

    def format_email_subject(self, subject: str) -> str:
        return subject

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail whose links all lead to the portal."""
        links = {name: at_the_portal(url) for name, url in context.items() if name.endswith("_url")}
        more = {"portal_url": settings.PORTAL_URL.geturl(), "is_open_for_signup": settings.SSO_OPEN_SIGNUP}
        super().send_mail(template_prefix, email, {**context, **more, **links})


def yield_address(address: EmailAddress) -> None:
    """Take an address that is being confirmed from a user who never has: it is their mistake."""
    users = get_user_model().objects.exclude(pk=address.user_id).filter(email_verified=False)
    for user in users.alias(lower=Lower("email")).filter(lower=Lower(Value(address.email))):
        user.email = f"{user.pk.hex}@sso.invalid"
        user.save()


def at_the_portal(url: str) -> str:
    """Replace the origin of a URL. allauth takes it from the Host header, which an attacker can choose."""
    portal = settings.PORTAL_URL
    return urlsplit(url)._replace(scheme=portal.scheme, netloc=portal.netloc).geturl()
