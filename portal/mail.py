"""The settings for sending mail: ``MAILERS`` since Django 6.1, and ``EMAIL_...`` before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import django

OLDER_NAMES: Final = {
    "file_path": "EMAIL_FILE_PATH",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
}


def mail_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings for SMTP (``EMAIL_HOST``), files (``EMAIL_FOLDER``) or standard output."""
    backend, options = mailer(environment)
    path = f"django.core.mail.backends.{backend}.EmailBackend"
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": path, "OPTIONS": options}}}
    older = {OLDER_NAMES.get(name, f"EMAIL_{name.upper()}"): value for name, value in options.items()}
    return {"EMAIL_BACKEND": path, **older}


def mailer(environment: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the module of Django's mail backend, and its options."""
    if host := environment.get("EMAIL_HOST"):
        return "smtp", {
            "host": host,
            "port": int(environment.get("EMAIL_PORT", "587")),
            "use_tls": environment.get("EMAIL_USE_TLS", "1") == "1",
            "username": environment.get("EMAIL_HOST_USER", ""),
            "password": environment.get("EMAIL_HOST_PASSWORD", ""),
            "timeout": 10,
        }
    if folder := environment.get("EMAIL_FOLDER"):
        return "filebased", {"file_path": folder}
    return "console", {}
