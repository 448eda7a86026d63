"""allauth's forms, with the portal's labels. The sign-in form keeps "remember me" until the last step."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm, ResetPasswordKeyForm, SetPasswordForm
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


class PasswordLabels:
    """Labels in sentence case."""

    fields: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = {"oldpassword": _("Current password"), "password1": _("New password")}
        labels["password2"] = _("New password (again)")
        for name in labels.keys() & self.fields.keys():
            self.fields[name].label = labels[name]


class PortalChangePasswordForm(PasswordLabels, ChangePasswordForm):
    """Change a password."""


class PortalSetPasswordForm(PasswordLabels, SetPasswordForm):
    """Set the first password."""


class PortalResetPasswordForm(PasswordLabels, ResetPasswordKeyForm):
    """Set a password after a reset."""
