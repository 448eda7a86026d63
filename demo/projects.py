"""The demo's Django projects: the commands that run them, and their environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from .credentials import Credentials
from .folder import DataFolder
from .options import ROOT, Options

SITES = {"site_a": "Notes", "site_b": "Shop"}

#: Project -> granian's arguments.
SERVERS = {
    "portal": ["--interface", "wsgi", "--blocking-threads", "4", "portal.wsgi:application"],
    "site_a": ["--interface", "wsgi", "--blocking-threads", "4", "site_a.wsgi:application"],
    "site_b": ["--interface", "asginl", "site_b.asgi:application"],
}

#: Variables of the caller that would change how a project behaves.
FOREIGN = ("SSO_", "SITE_", "DJANGO_", "DATABASE_", "GRANIAN_", "PYTHONPATH")


def serve(project: str, port: int) -> list[str | Path]:
    """The command that serves a project."""
    address = ["--host", "127.0.0.1", "--port", str(port)]
    limits = ["--workers", "1", "--no-ws", "--workers-kill-timeout", "4", "--log-level", "warning"]
    return [sys.executable, "-m", "granian", *address, *limits, *SERVERS[project]]


def manage(project: str, *arguments: str) -> list[str | Path]:
    """The command that runs a project's ``manage.py``."""
    return [sys.executable, ROOT / project / "manage.py", *arguments]


def environment(
    project: str, options: Options, folder: DataFolder, credentials: Credentials, dsn: str = ""
) -> dict[str, str]:
    """The environment of a project's processes, secrets included. ``dsn``: a site's own."""
    own = {"DATABASE_URL": f"sqlite:///{folder.database(project)}"}
    if project == "portal":
        own |= {
            "SSO_ROOT_SECRET": credentials.root,
            "SSO_PORTAL_URL": options.urls["portal"],
            "SSO_DOMAIN": options.domain,
            "SSO_NAMESPACE": options.namespace,
            "EMAIL_FOLDER": str(folder.mail),
            "SSO_REDIS_URL": credentials.portal_url(options.namespace),
        }
    else:
        others = " ".join(f"{SITES[name]}={options.urls[name]}" for name in SITES if name != project)
        own |= {
            "SSO_DSN": dsn,
            "SSO_PORTAL_INTERNAL_URL": f"http://127.0.0.1:{options.portal_port}",
            "SITE_PLACES": others,
        }
    return inherit(own)


def inherit(own: Mapping[str, str]) -> dict[str, str]:
    """Add variables to those of the caller, without the ``FOREIGN`` ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(own)
