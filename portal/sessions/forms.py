"""The sign-in form: allauth's, which keeps the choice "remember me" until the last step."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from .visitors import REMEMBER_KEY


class PortalLoginForm(LoginForm):
    """Sign in by username or email address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("Username or email")
        self.fields["remember"].label = _("Stay signed in on this device")

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """Keep the choice. allauth would only use it after the sign-in, and not if another step follows."""
        request.session[REMEMBER_KEY] = bool(self.cleaned_data.get("remember"))
        return super().login(request, redirect_url)
