"""How the portal sends mail, in the words of the Django that runs.

In: the environment. Out: settings: ``MAILERS`` from Django 6.1 on, where the older names are refused;
``EMAIL_...`` before. Called by ``settings.py`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django

_OLDER_NAMES = {
    "file_path": "EMAIL_FILE_PATH",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
}


def mail_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """By SMTP where EMAIL_HOST is set, into files where EMAIL_FOLDER is, else to standard output."""
    backend, options = _mailer(environment)
    path = f"django.core.mail.backends.{backend}.EmailBackend"
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": path, "OPTIONS": options}}}
    older = {_OLDER_NAMES.get(name, f"EMAIL_{name.upper()}"): value for name, value in options.items()}
    return {"EMAIL_BACKEND": path, **older}


def _mailer(environment: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
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
