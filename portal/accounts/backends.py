"""Checks passwords: allauth's backend, with the portal's way to find the user."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.http import HttpRequest

from . import lookup


class PasswordBackend(AuthenticationBackend):
    """Hashes a password exactly once, so that the time does not tell whether there is an account."""

    def _authenticate(self, request: HttpRequest | None, **credentials: Any) -> Any:
        # The sign-in form gives what was typed as both. To authenticate again, allauth gives the account's
        # username and address, which may be unconfirmed.
        username, email = credentials.get("username") or "", credentials.get("email")
        user = lookup.by_login(email or username)
        if user is None and email and email != username:
            user = lookup.by_username(username)
        try:
            return self._check_password(user, credentials["password"])
        except ValueError:  # an imported hash with parameters that its algorithm refuses
            return None
