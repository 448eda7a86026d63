"""Registers checks and signals, nothing else."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out
from django.utils.translation import gettext_lazy as _


class SSOCommonConfig(AppConfig):
    """The site's half of single sign-on."""

    name = "sso_common"
    verbose_name = _("Single sign-on")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  registers itself

        user_logged_out.connect(end_session, dispatch_uid="sso_common.end_session")


def end_session(sender: Any, request: Any = None, **kwargs: Any) -> None:
    """``django.contrib.auth.logout`` is sign-out everywhere; a bare ``flush`` is not."""
    from .sessions import SessionStore

    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.sign_out()
