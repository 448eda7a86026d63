"""allauth's forms, with the portal's labels. The sign-in form keeps "remember me" until the last step."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import (
    ChangePasswordForm,
    LoginForm,
    ResetPasswordForm,
    ResetPasswordKeyForm,
    SetPasswordForm,
)
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from portal.accounts import lookup

from .claims import claim_once
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
    """Change a password. Guesses of the current one count as failed sign-ins."""

    def clean_oldpassword(self) -> str:
        password = str(self.cleaned_data.get("oldpassword", ""))
        if not get_adapter().reauthenticate(self.user, password):
            raise get_adapter().validation_error("enter_current_password")
        return password


class PortalRequestResetForm(ResetPasswordForm):
    """Request a link to set a new password."""

    def clean_email(self) -> str:
        """As allauth's, but only confirmed addresses receive a link, and those of new users without a
        password."""
        email = get_adapter().clean_email(self.cleaned_data["email"].lower())
        receiver = lookup.by_email(email) or lookup.invited(email)
        self.users = [receiver] if receiver is not None and receiver.is_active else []
        return self.cleaned_data["email"]


class PortalSetPasswordForm(PasswordLabels, SetPasswordForm):
    """Set the first password."""


class PortalResetPasswordForm(PasswordLabels, ResetPasswordKeyForm):
    """Set a password after a reset."""

    def clean(self) -> dict[str, Any]:
        """As allauth's, for the first of several requests that use one link at once."""
        cleaned: dict[str, Any] = super().clean()
        if not self.errors and not claim_once(f"reset:{self.user.pk}:{self.temp_key}", seconds=60):
            raise ValidationError(_("This link has already been used."))
        return cleaned

    def save(self) -> None:
        """As allauth's. Whoever had the link reads mails to the user's address, so that is confirmed."""
        super().save()
        address = EmailAddress.objects.get_primary(self.user)
        if address is not None:
            address.set_verified()
