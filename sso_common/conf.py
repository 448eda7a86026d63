"""The settings of ``sso_common``, typed and read live.

``secret_keys`` and ``cache`` are for a settings module that is still being executed, so they read the
environment only (or the DSN they are given). Everything else reads ``django.conf.settings``.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from .dsn import Dsn, parse_dsn
from .exceptions import InvalidDsn
from .keys import KEY_BYTES

if TYPE_CHECKING:
    from .users import UserMapper

DSN_VARIABLE: Final = "SSO_DSN"
INTERNAL_URL_VARIABLE: Final = "SSO_PORTAL_INTERNAL_URL"
CACHE_ALIAS: Final = "sso"

#: Seconds. With one retry, a request that needs the session answers 503 well within 1.5 s.
CONNECT_TIMEOUT: Final = 0.25
READ_TIMEOUT: Final = 0.5

#: Name -> (default, accepted types).
SETTINGS: Final[dict[str, tuple[Any, tuple[type, ...]]]] = {
    "SSO_STAFF_ROLES": ((), (list, tuple, set, frozenset)),
    "SSO_ROLE_GROUPS": ({}, (dict,)),
    "SSO_USER_MAPPER": ("sso_common.users.UserMapper", (str,)),
    "SSO_ADOPT_SESSION": ("sso_common.adoption.adopt", (str,)),
    "SSO_HARD_DELETE": (False, (bool,)),
    "SSO_LOCAL_LOGIN": (False, (bool,)),
    "SSO_LOGIN_PAGES": ((), (list, tuple, set, frozenset)),
    "SSO_ACCOUNT_PAGES": ({}, (dict,)),
    "SSO_TOUCH_INTERVAL": (60, (int,)),
    "SSO_FEED_PAGE": (500, (int,)),
    "SSO_POLL_INTERVAL": (5, (int,)),
}

# --- for a settings module -------------------------------------------------------------------


def secret_keys(dsn: str | None = None) -> list[str]:
    """Return the site's ``SECRET_KEY`` and its fallbacks, newest first::

        SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()

    Without a valid DSN, return one random key, so that commands like ``collectstatic`` work where
    no secret is available. Check ``sso.E001`` or ``sso.E002`` then reports what is wrong, and the
    middleware refuses to start.
    """
    parsed = dsn_or_none(dsn)
    if parsed is None:
        return [secrets.token_urlsafe(KEY_BYTES)]
    return [keys.django_secret_key for keys in parsed.site_keys]


def cache(dsn: str | None = None) -> dict[str, Any]:
    """Return the value of ``CACHES["sso"]``: django-redis, with the time limits that are needed::

    CACHES = {"default": ..., "sso": sso.cache()}
    """
    parsed = dsn_or_none(dsn)
    location: str | list[str] = "redis://127.0.0.1:1/0" if parsed is None else parsed.redis_login_url
    factory = "ConnectionFactory"
    if parsed is not None and parsed.is_cluster:
        # A list: django-redis splits a string at commas into a primary and its replicas.
        location, factory = [parsed.redis_login_url], "ClusterConnectionFactory"
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": location,
        "OPTIONS": {
            "CONNECTION_FACTORY": f"sso_common.store.cache.{factory}",
            "SOCKET_CONNECT_TIMEOUT": CONNECT_TIMEOUT,
            "SOCKET_TIMEOUT": READ_TIMEOUT,
        },
    }


def dsn_or_none(text: str | None) -> Dsn | None:
    """The DSN, or None: if the settings module raised, no check could run to explain it."""
    try:
        return parse_dsn(os.environ.get(DSN_VARIABLE, "") if text is None else text)
    except InvalidDsn:
        return None


# --- the DSN ---------------------------------------------------------------------------------


def dsn_text() -> str:
    """``settings.SSO_DSN`` where it is set (the portal, tests), else the environment variable."""
    return str(getattr(settings, DSN_VARIABLE, "") or os.environ.get(DSN_VARIABLE, ""))


@functools.lru_cache(maxsize=1)
def dsn() -> Dsn:
    """The site's DSN, cached until a test overrides the setting. Raises ``InvalidDsn``."""
    text = dsn_text()
    if not text:
        raise InvalidDsn(f"{DSN_VARIABLE} is not set.")
    return parse_dsn(text)


@receiver(setting_changed, dispatch_uid="sso_common.conf")
def forget_dsn(*, setting: str, **kwargs: Any) -> None:
    """Parse the DSN again after a test has changed it."""
    if setting == DSN_VARIABLE:
        dsn.cache_clear()


def portal_internal_url() -> str:
    """The portal's origin as this server reaches it; by default, as browsers do."""
    url = getattr(settings, INTERNAL_URL_VARIABLE, "") or os.environ.get(INTERNAL_URL_VARIABLE, "")
    return str(url).rstrip("/") or dsn().portal_url


# --- Django settings -------------------------------------------------------------------------


def setting(name: str) -> Any:
    """A setting, or its default. Raises ``TypeError`` for a value that check ``sso.E012`` reports."""
    default, kinds = SETTINGS[name]
    value = getattr(settings, name, default)
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {kinds}, not {type(value).__name__}.")
    return value


def staff_roles() -> frozenset[str]:
    """Roles at this site that make a user ``is_staff``."""
    return frozenset(setting("SSO_STAFF_ROLES"))


def role_groups() -> dict[str, str]:
    """{role at this site: name of the local group that its holders join}."""
    return dict(setting("SSO_ROLE_GROUPS"))


def user_mapper() -> type[UserMapper]:
    """The class that maps a snapshot to the fields of the local user model."""
    mapper: type[UserMapper] = import_string(setting("SSO_USER_MAPPER"))
    return mapper


def adopt_session() -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """What chooses the anonymous session data that a signed-in session adopts."""
    hook: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = import_string(
        setting("SSO_ADOPT_SESSION")
    )
    return hook


def hard_delete() -> bool:
    """Whether a deletion at the portal deletes the local row. By default it is blanked and kept."""
    return bool(setting("SSO_HARD_DELETE"))


def local_login() -> bool:
    """Whether users who are linked to a subject can also log in with a password of this site."""
    return bool(setting("SSO_LOCAL_LOGIN"))


def login_pages() -> list[str]:
    """Paths and names of the pages of this site that the sign-in at the portal replaces; see ``pages``."""
    return list(setting("SSO_LOGIN_PAGES"))


def account_pages() -> dict[str, str]:
    """{path or name of a page of this site: the page of the portal that replaces it}; see ``pages``."""
    return dict(setting("SSO_ACCOUNT_PAGES"))


def touch_interval() -> int:
    """Seconds between two extensions of a session's idle timeout."""
    return int(setting("SSO_TOUCH_INTERVAL"))


def feed_page() -> int:
    """Users fetched from the feed at a time."""
    return int(setting("SSO_FEED_PAGE"))


def poll_interval() -> int:
    """Seconds between two requests to the feed when no event arrives."""
    return int(setting("SSO_POLL_INTERVAL"))
