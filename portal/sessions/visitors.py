"""Where a request came from, as far as the portal's operator lets us know."""

from __future__ import annotations

import ipaddress
from typing import Any

from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from .services import Visitor


def client_ip(request: HttpRequest) -> str | None:
    """The visitor's address, or None where it is not known (``SSO_CLIENT_IP_HEADER``)."""
    try:
        return str(ipaddress.ip_address(get_adapter(request).get_client_ip(request)))
    except (PermissionDenied, ValueError):
        return None


def visitor_of(request: HttpRequest) -> Visitor:
    """What the list of sessions shows of a sign-in."""
    return Visitor(
        ip=client_ip(request),
        user_agent=request.headers.get("User-Agent", ""),
        replaces=request.session.presented_sid or "",  # type: ignore[attr-defined]
    )


def methods_of(request: HttpRequest) -> list[str]:
    """How the visitor has just proved who they are, as ``amr`` values (RFC 8176)."""
    records: Any = request.session.get("account_authentication_methods") or []
    names = {"password": "pwd", "password_reset": "pwd", "code": "otp", "socialaccount": "fed"}
    factors = {"totp": "otp", "recovery_codes": "otp", "webauthn": "hwk"}
    methods = []
    for record in records:
        method = record.get("method")
        methods.append(
            factors.get(record.get("type"), "otp") if method == "mfa" else names.get(method, "pwd")
        )
    unique = list(dict.fromkeys(methods)) or ["pwd"]
    return [*unique, "mfa"] if len(unique) > 1 else unique
