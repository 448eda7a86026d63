"""Checks of SSO_DSN and of the keys that the settings derive from it."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sso_common import conf
from sso_common.dsn import Dsn, parse_dsn
from sso_common.exceptions import InvalidDsn
from sso_common.keys import PORTAL

from .messages import Messages, check, error, warning

WRITE_KEYS = "SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()"


@check
def check_dsn() -> Messages:
    """SSO_DSN is set and valid."""
    if not conf.dsn_text():
        yield error(
            "E001",
            "The environment variable SSO_DSN is not set.",
            "Set it to the line that the portal prints: manage.py sso_site add <site> <address>, "
            "or manage.py sso_site dsn <site> for a registered site.",
        )
        return
    try:
        parse_dsn(conf.dsn_text())
    except InvalidDsn as problem:
        yield error(
            "E002",
            str(problem),
            "Set it to the whole line that the portal prints: manage.py sso_site dsn <site>",
        )


@check
def check_keys() -> Messages:
    """SECRET_KEY and SECRET_KEY_FALLBACKS are derived from SSO_DSN."""
    dsn = valid_dsn()
    if dsn is None:
        return
    newest, *older = (keys.django_secret_key for keys in dsn.site_keys)
    if newest != secret_key():
        yield error(
            "E003",
            "SECRET_KEY is not derived from SSO_DSN.",
            f"Write in the settings, after `from sso_common import conf as sso`: {WRITE_KEYS}",
        )
    elif not set(older) <= set(settings.SECRET_KEY_FALLBACKS):
        yield warning(
            "W009",
            "SECRET_KEY_FALLBACKS lacks the older secrets of SSO_DSN: values signed before the secret was "
            "rotated are refused.",
            f"Write in the settings: {WRITE_KEYS}",
        )


def secret_key() -> str:
    """Return the ``SECRET_KEY``, which Django does not let anyone read while it is empty."""
    try:
        return settings.SECRET_KEY
    except ImproperlyConfigured:
        return ""


def valid_dsn() -> Dsn | None:
    """Return the DSN, or None where ``check_dsn`` finds a mistake in it."""
    try:
        return parse_dsn(conf.dsn_text())
    except InvalidDsn:
        return None


def is_portal() -> bool:
    """Return whether this project is the portal itself."""
    dsn = valid_dsn()
    return dsn is not None and dsn.site == PORTAL
