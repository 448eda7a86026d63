"""What a request says about a sign-in: where it came from, and how the user has proved who they are."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final

from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

#: The session key under which the sign-in form keeps "remember me" until the last step of the sign-in.
REMEMBER_KEY: Final = "sso_remember"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a sign-in came from, for the user's list of sessions."""

    ip: str | None = None
    user_agent: str = ""


def visitor_of(request: HttpRequest) -> Visitor:
    """Return where a request comes from."""
    return Visitor(ip=client_ip(request), user_agent=request.headers.get("User-Agent", ""))


def client_ip(request: HttpRequest) -> str | None:
    """Return the visitor's IP address, or None if it is not known (``SSO_CLIENT_IP_HEADER``)."""
    try:
        return str(ipaddress.ip_address(get_adapter(request).get_client_ip(request)))
    except (PermissionDenied, ValueError):
        return None


def methods_of(request: HttpRequest) -> list[str]:
    """Return how the user has signed in, as ``amr`` values (RFC 8176)."""
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
