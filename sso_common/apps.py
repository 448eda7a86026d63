"""Registers the checks, and what happens when a user logs in or out."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import pre_save
from django.utils.translation import gettext_lazy as _


class SSOCommonConfig(AppConfig):
    """A site's half of single sign-on."""

    name = "sso_common"
    verbose_name = _("Single sign-on")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  registers itself
        from .users import keep_unusable

        pre_save.connect(keep_unusable, dispatch_uid="sso_common.keep_unusable")  # of proxies, too
        user_logged_in.connect(log_in, dispatch_uid="sso_common.log_in")
        user_logged_out.connect(sign_out, dispatch_uid="sso_common.sign_out")


def log_in(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    """Make the request that of the new user; remember a login for emergencies."""
    from .addresses import is_emergency_login
    from .adoption import EMERGENCY
    from .http import change_user, session_of  # needs models, which are not loaded yet

    session = session_of(request)
    if session is not None:
        change_user(request, user)
        if session.has_local_login() and is_emergency_login(request):
            session[EMERGENCY] = True


def sign_out(sender: Any, request: Any = None, **kwargs: Any) -> None:
    """Make ``django.contrib.auth.logout`` sign out everywhere. A bare ``session.flush`` does not."""
    from django.contrib.auth.models import AnonymousUser

    from .http import change_user, session_of  # needs models, which are not loaded yet

    session = session_of(request)
    if session is not None:  # a session may be false
        session.sign_out()
        change_user(request, AnonymousUser())
