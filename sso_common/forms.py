"""The login form of the Django admin, for local users and for emergencies."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from . import users
from .addresses import is_emergency_login
from .exceptions import Absent


class LocalLoginForm(AdminAuthenticationForm):
    """Says so if the user has to sign in at the portal."""

    error_messages = AdminAuthenticationForm.error_messages | {
        "local_login": _("You have an account at the portal. Sign in there."),
    }

    def confirm_login_allowed(self, user: Any) -> None:
        try:
            users.require_local_login(user.pk, time.time(), is_emergency=is_emergency_login(self.request))
        except Absent as refusal:
            raise ValidationError(self.error_messages["local_login"], code="local_login") from refusal
        super().confirm_login_allowed(user)
