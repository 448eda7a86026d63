"""System checks: a wrong configuration says so before anyone signs in.

In: the settings, read live. Out: Django's check messages ``sso.E0xx`` and ``sso.W0xx``, each with the
line to write as its hint; docs/checks.md lists them all. Registered by ``apps.py``; ``sso_doctor`` runs
the same functions by their names in ``CHECKS``.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, cast
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's own name
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from . import conf
from .domains import is_public_suffix, is_under, may_be_under
from .dsn import Dsn, parse_dsn
from .exceptions import InvalidDsn

TAG: Final = "sso"
#: The portal is a site, too; no other site may take its name.
PORTAL: Final = "portal"

#: The lines to write, as in the README and the settings of the two sites.
IMPORT: Final = "from sso_common import conf as sso"
LINES: Final = {
    "keys": "SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()",
    "session": '"sso_common.middleware.SessionMiddleware"',
    "auth": '"sso_common.middleware.AuthenticationMiddleware"',
    "backends": (
        'AUTHENTICATION_BACKENDS = ["sso_common.backends.SSOBackend", '
        '"django.contrib.auth.backends.ModelBackend"]'
    ),
    "engine": 'SESSION_ENGINE = "sso_common.sessions"',
    "cookie": 'SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True',
    "cache": (
        'CACHES["sso"] = sso.cache()  (where there is no CACHES yet: CACHES = {"default": '
        '{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, "sso": sso.cache()})'
    ),
    "login": 'LOGIN_URL = "sso:login"',
    "urls": 'path("sso/", include("sso_common.urls"))',
}

#: Middleware that looks at the session, and middleware that looks at the user: what must come later.
_LOOKS_AT_SESSION: Final = ("django.contrib.messages.middleware.MessageMiddleware",)
_LOOKS_AT_USER: Final = (
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_otp.middleware.OTPMiddleware",
)


# --- the environment variable, and the keys --------------------------------------------------


def check_dsn(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The one environment variable is there and can be read."""
    if not conf.dsn_text():
        return [
            Error(
                "The environment variable SSO_DSN is not set.",
                hint=(
                    "Set it to the line that the portal prints: manage.py sso_site add <site> <address>, "
                    "or manage.py sso_site dsn <site> for a site that is registered."
                ),
                id="sso.E001",
            )
        ]
    try:
        parse_dsn(conf.dsn_text())
    except InvalidDsn as error:
        return [
            Error(
                f"SSO_DSN cannot be used: {error}",
                hint="Set it to the whole line that the portal prints: manage.py sso_site dsn <site>",
                id="sso.E002",
            )
        ]
    return []


def check_keys(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """``SECRET_KEY`` and its fallbacks come from the site's own secret."""
    dsn = _dsn()
    if dsn is None:
        return []
    newest, *older = [keys.django_secret_key for keys in dsn.site_keys]
    if newest != _secret_key():
        return [
            Error(
                "SECRET_KEY is not the one that belongs to SSO_DSN.",
                hint=f"Write in the settings, below `{IMPORT}`: {LINES['keys']}",
                id="sso.E003",
            )
        ]
    if not set(older) <= set(settings.SECRET_KEY_FALLBACKS):
        return [
            Warning(
                "SECRET_KEY_FALLBACKS lacks the older secrets of SSO_DSN: what was signed before the secret "
                "was rotated is refused.",
                hint=f"Write in the settings: {LINES['keys']}",
                id="sso.W009",
            )
        ]
    return []


# --- middleware and backends -----------------------------------------------------------------


def check_middleware(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Both middlewares are there, in place of Django's, and everything is in an order that works."""
    from django.contrib.auth import middleware as django_auth
    from django.contrib.sessions import middleware as django_sessions

    from .middleware import AuthenticationMiddleware, SessionMiddleware

    classes = [_class(path) for path in settings.MIDDLEWARE]
    session, auth = _index(classes, SessionMiddleware), _index(classes, AuthenticationMiddleware)
    messages: list[CheckMessage] = []
    if session is None:
        messages.append(
            Error(
                "sso_common's SessionMiddleware is missing from MIDDLEWARE.",
                hint=(
                    f"Write {LINES['session']} in MIDDLEWARE, in the place of "
                    '"django.contrib.sessions.middleware.SessionMiddleware".'
                ),
                id="sso.E004",
            )
        )
    if auth is None:
        messages.append(
            Error(
                "sso_common's AuthenticationMiddleware is missing from MIDDLEWARE.",
                hint=(
                    f"Write {LINES['auth']} in MIDDLEWARE, in the place of "
                    '"django.contrib.auth.middleware.AuthenticationMiddleware".'
                ),
                id="sso.E005",
            )
        )
    ours_and_theirs = (
        (session, django_sessions.SessionMiddleware, SessionMiddleware),
        (auth, django_auth.AuthenticationMiddleware, AuthenticationMiddleware),
    )
    for ours, theirs, class_ in ours_and_theirs:
        stock = _index(classes, theirs, but_not=class_)
        if ours is not None and stock is not None:
            messages.append(
                Error(
                    f"MIDDLEWARE has both Django's {theirs.__name__} and sso_common's, and they undo each "
                    "other's work.",
                    hint=f'Remove "{settings.MIDDLEWARE[stock]}" from MIDDLEWARE.',
                    id="sso.E006",
                )
            )
    if session is not None and auth is not None:
        messages += _check_order(settings.MIDDLEWARE, classes, session, auth)
    return messages


def _check_order(
    paths: list[str], classes: list[type | None], session: int, auth: int
) -> Iterator[CheckMessage]:
    later = [(auth, session)]
    for path in (*_LOOKS_AT_SESSION, *_LOOKS_AT_USER):
        class_ = _class(path) if path.startswith("django.") or path in paths else None
        index = None if class_ is None else _index(classes, class_)
        if index is not None and not (path in _LOOKS_AT_SESSION and "cookie" in settings.MESSAGE_STORAGE):
            later.append((index, session if path in _LOOKS_AT_SESSION else auth))
    csrf = _index(classes, _class("django.middleware.csrf.CsrfViewMiddleware"))
    if settings.CSRF_USE_SESSIONS and csrf is not None:
        later.append((csrf, session))
    for index, needs in later:
        if index < needs:
            yield Error(
                f"In MIDDLEWARE, {paths[index]} stands before {paths[needs]}, which it needs.",
                hint=f'Move "{paths[needs]}" up, above "{paths[index]}".',
                id="sso.E007",
            )
    cache = _index(classes, _class("django.middleware.cache.UpdateCacheMiddleware"))
    if cache is not None and cache > session:
        yield Error(
            "In MIDDLEWARE, UpdateCacheMiddleware stands after SessionMiddleware: it stores a person's page "
            "before that page is marked as theirs, and shows it to others.",
            hint=f'Move "{paths[cache]}" up, above "{paths[session]}".',
            id="sso.E024",
        )


def check_backends(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The authentication backend is there, and the admin knows of the single sign-on."""
    from .backends import SSOBackend

    messages: list[CheckMessage] = []
    if _index([_class(path) for path in settings.AUTHENTICATION_BACKENDS], SSOBackend) is None:
        messages.append(
            Error(
                "AUTHENTICATION_BACKENDS has no SSOBackend: nobody who is signed in is known here.",
                hint=f"Write in the settings: {LINES['backends']}",
                id="sso.E008",
            )
        )
    if apps.is_installed("django.contrib.admin") and not _is_portal():
        from .admin import SSOAdminSite

        site = _class(getattr(apps.get_app_config("admin"), "default_site", ""))
        if site is None or not issubclass(site, SSOAdminSite):
            messages.append(
                Warning(
                    "The Django admin shows a sign-in form of its own, which knows no portal password.",
                    hint=(
                        'Write "sso_common.admin.SSOAdminConfig" in INSTALLED_APPS, in the place of '
                        '"django.contrib.admin".'
                    ),
                    id="sso.W011",
                )
            )
    return messages


# --- sessions and cookies --------------------------------------------------------------------


def check_engine(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Sessions are in the shared store."""
    from .sessions import SessionStore

    messages: list[CheckMessage] = []
    engine = _class(f"{settings.SESSION_ENGINE}.SessionStore")
    if engine is None or not issubclass(engine, SessionStore):
        messages.append(
            Error(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which knows nothing of the shared session.",
                hint=f"Write in the settings: {LINES['engine']}",
                id="sso.E009",
            )
        )
    if settings.SESSION_SAVE_EVERY_REQUEST:
        messages.append(
            Warning(
                "SESSION_SAVE_EVERY_REQUEST costs a write to Redis for every request.",
                hint=(
                    "Write in the settings: SESSION_SAVE_EVERY_REQUEST = False. Sessions that are used are "
                    "kept alive without it."
                ),
                id="sso.W006",
            )
        )
    return messages


def check_serializer(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Session values are JSON: whoever can write to Redis must not thereby run code."""
    serializer = _class(settings.SESSION_SERIALIZER)
    if serializer is not None and "pickle" not in serializer.__name__.lower() and _makes_json(serializer):
        return []
    return [
        Error(
            f"SESSION_SERIALIZER is {settings.SESSION_SERIALIZER!r}, which does not make JSON. A pickle "
            "would let anybody who can write to Redis run code here.",
            hint=(
                "Write in the settings: "
                'SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"'
            ),
            id="sso.E010",
        )
    ]


def _makes_json(serializer: type) -> bool:
    try:
        encoded = serializer().dumps({"a": 1})
        return isinstance(encoded, bytes) and json.loads(encoded) == {"a": 1}
    except Exception:  # noqa: BLE001  whatever a stranger's class raises, it makes no JSON
        return False


def check_cookies(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The site's own session cookie is this host's alone, and is not the SSO cookie."""
    dsn = _dsn()
    messages: list[CheckMessage] = []
    name = settings.SESSION_COOKIE_NAME
    if dsn is not None and name == dsn.cookie_name:
        messages.append(
            Error(
                f"SESSION_COOKIE_NAME is {name!r}: that is the SSO cookie, which only the portal may set.",
                hint=f"Write in the settings: {LINES['cookie']}",
                id="sso.E011",
            )
        )
    elif not name.startswith("__Host-"):
        messages.append(
            Warning(
                f"SESSION_COOKIE_NAME is {name!r}: without the prefix __Host-, another site under the parent "
                "domain can plant a session cookie here.",
                hint=f"Write in the settings: {LINES['cookie']}",
                id="sso.W001",
            )
        )
    elif not settings.SESSION_COOKIE_SECURE:
        messages.append(
            Warning(
                f"SESSION_COOKIE_SECURE is off; browsers refuse a cookie named {name} that is not Secure.",
                hint="Write in the settings: SESSION_COOKIE_SECURE = True",
                id="sso.W002",
            )
        )
    if settings.SESSION_COOKIE_DOMAIN:
        messages.append(
            Error(
                f"SESSION_COOKIE_DOMAIN is {settings.SESSION_COOKIE_DOMAIN!r}: this site's session is nobody "
                "else's; what the sites share is the SSO cookie, which the portal sets.",
                hint="Remove SESSION_COOKIE_DOMAIN from the settings.",
                id="sso.E014",
            )
        )
    if settings.SESSION_COOKIE_PATH != "/":
        messages.append(
            Warning(
                f"SESSION_COOKIE_PATH is {settings.SESSION_COOKIE_PATH!r} and has no effect: a cookie named "
                "__Host-… is always for all paths.",
                hint='Remove SESSION_COOKIE_PATH from the settings (it is "/" then).',
                id="sso.W003",
            )
        )
    return messages


def check_csrf(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The CSRF cookie is this host's alone, and no sibling is trusted by a wildcard."""
    messages: list[CheckMessage] = []
    if settings.CSRF_COOKIE_DOMAIN:
        messages.append(
            Error(
                f"CSRF_COOKIE_DOMAIN is {settings.CSRF_COOKIE_DOMAIN!r}: every site under it could forge "
                "forms for this one.",
                hint="Remove CSRF_COOKIE_DOMAIN from the settings.",
                id="sso.E015",
            )
        )
    dsn = _dsn()
    for origin in settings.CSRF_TRUSTED_ORIGINS if dsn is not None else ():
        host = urlsplit(origin).netloc
        if dsn is not None and host.startswith("*.") and is_under(dsn.domain, host[2:]):
            messages.append(
                Warning(
                    f"CSRF_TRUSTED_ORIGINS has {origin!r}: any other site under {dsn.domain} may post forms "
                    "in the name of whoever visits it.",
                    hint=f"In CSRF_TRUSTED_ORIGINS, write each origin that you mean in place of {origin!r}.",
                    id="sso.W012",
                )
            )
    return messages


# --- Redis -----------------------------------------------------------------------------------


def check_cache(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """``CACHES["sso"]`` is django-redis, at the address of the DSN, with limits to its patience."""
    dsn = _dsn()
    write = f"Write in the settings, below `{IMPORT}`: {LINES['cache']}"
    entry = settings.CACHES.get(conf.CACHE_ALIAS)
    if entry is None:
        return [Error('CACHES has no entry "sso".', hint=write, id="sso.E016")]
    if not _is_django_redis():
        return [
            Error(
                f'CACHES["sso"] is {entry.get("BACKEND")!r}, which is not django-redis.',
                hint=write,
                id="sso.E017",
            )
        ]
    options = entry.get("OPTIONS", {})
    pool = options.get("CONNECTION_POOL_KWARGS", {})
    messages: list[CheckMessage] = []
    if dsn is not None and entry.get("LOCATION") not in (dsn.redis_login_url, [dsn.redis_login_url]):
        messages.append(
            Error('CACHES["sso"] has another LOCATION than SSO_DSN says.', hint=write, id="sso.E018")
        )
    if pool.get("decode_responses"):
        messages.append(
            Error(
                'CACHES["sso"] has decode_responses, and sessions are bytes.',
                hint='Remove decode_responses from CACHES["sso"]["OPTIONS"]["CONNECTION_POOL_KWARGS"].',
                id="sso.E025",
            )
        )
    limits = {"SOCKET_CONNECT_TIMEOUT": conf.CONNECT_TIMEOUT, "SOCKET_TIMEOUT": conf.READ_TIMEOUT}
    patient = [name for name, limit in limits.items() if not 0 < (options.get(name) or 0) <= limit]
    factory = str(options.get("CONNECTION_FACTORY"))
    patient += [] if "retry" in pool or factory.startswith("sso_common.") else ["CONNECTION_FACTORY"]
    if patient:
        messages.append(
            Warning(
                f'CACHES["sso"] has a time limit that is missing or too long ({", ".join(patient)}): while '
                "Redis hangs, requests hang with it.",
                hint=write,
                id="sso.W004",
            )
        )
    return messages


def _is_django_redis() -> bool:
    from . import store  # needs valid settings

    return store.is_django_redis_cache(conf.CACHE_ALIAS)


# --- addresses -------------------------------------------------------------------------------


def check_urls(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The hop to the portal has an address, and ``LOGIN_URL`` is it."""
    try:
        hop = reverse("sso:login")
    except NoReverseMatch:
        return [
            Error(
                "The addresses of sso_common are missing from the URLconf.",
                hint=f"Write in urlpatterns of {settings.ROOT_URLCONF}: {LINES['urls']}",
                id="sso.E019",
            )
        ]
    if _is_portal():
        return []  # its sign-in page is the real one
    try:
        login = resolve_url(settings.LOGIN_URL)
    except NoReverseMatch:
        login = ""
    if urlsplit(login).path == hop:
        return []
    return [
        Error(
            f"LOGIN_URL is {str(settings.LOGIN_URL)!r}, which does not lead to the portal.",
            hint=f"Write in the settings: {LINES['login']}",
            id="sso.E020",
        )
    ]


def check_domain(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """A browser keeps the SSO cookie and sends it to the portal and to this site."""
    dsn = _dsn()
    if dsn is None:
        return []
    portal = urlsplit(dsn.portal_url)
    messages: list[CheckMessage] = []
    if is_public_suffix(dsn.domain):
        messages.append(
            Error(
                f"The parent domain is {dsn.domain!r}: strangers may have names under it, so browsers refuse "
                "a cookie for all of it.",
                hint=(
                    "At the portal, set SSO_DOMAIN to a domain that is all yours (example.com, "
                    "sso.localhost), then set SSO_DSN to what manage.py sso_site dsn prints."
                ),
                id="sso.E021",
            )
        )
    if not is_under(portal.hostname or "", dsn.domain):
        messages.append(
            Error(
                f"The portal ({portal.hostname}) is not under the parent domain {dsn.domain}: browsers "
                "refuse the SSO cookie from it.",
                hint=(
                    "At the portal, make SSO_PORTAL_URL and SSO_DOMAIN agree, then set SSO_DSN to what "
                    "manage.py sso_site dsn prints."
                ),
                id="sso.E022",
            )
        )
    if portal.scheme == "http" and not _is_local(portal.hostname or ""):
        messages.append(
            Warning(
                f"The portal's address is {dsn.portal_url}: browsers keep the SSO cookie over https alone "
                "(or under localhost).",
                hint="At the portal, set SSO_PORTAL_URL to an https:// address, and SSO_DSN accordingly.",
                id="sso.W010",
            )
        )
    hosts = [pattern for pattern in settings.ALLOWED_HOSTS if may_be_under(pattern, dsn.domain)]
    if settings.ALLOWED_HOSTS and not hosts:
        messages.append(
            Warning(
                f"No host in ALLOWED_HOSTS is under the parent domain {dsn.domain}: the SSO cookie never "
                "reaches this site.",
                hint=f'Add this site\'s name to ALLOWED_HOSTS, for example "{_example(dsn)}".',
                id="sso.W007",
            )
        )
    return messages


def check_internal_url(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The portal's internal address, where there is one, is an origin."""
    if _dsn() is None:
        return []
    if _is_origin(conf.portal_internal_url()):
        return []
    return [
        Error(
            f"{conf.INTERNAL_URL_VARIABLE} is not the address of a server.",
            hint=f"Set {conf.INTERNAL_URL_VARIABLE}=http://<host>:<port>, without a path, or do not set it.",
            id="sso.E023",
        )
    ]


def check_proxy(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Behind a TLS proxy, Django knows that it is. Only with ``check --deploy``."""
    dsn = _dsn()
    if dsn is None or dsn.portal_url.startswith("http:"):
        return []
    header = cast("tuple[str, str] | None", settings.SECURE_PROXY_SSL_HEADER)
    if settings.DEBUG or header is not None:
        return []
    return [
        Warning(
            "SECURE_PROXY_SSL_HEADER is not set: where TLS ends at a proxy, this site takes itself for "
            "http://, and the portal refuses to send people back to such an address.",
            hint=(
                'Write in the settings: SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https"), with '
                "a proxy that always sets that header; or, where this server speaks TLS itself, "
                'SILENCED_SYSTEM_CHECKS = ["sso.W008"].'
            ),
            id="sso.W008",
        )
    ]


# --- this package's own settings -------------------------------------------------------------


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Every ``SSO_`` setting is known, of the right type, and names something that exists."""
    messages: list[CheckMessage] = []
    for name, (default, kinds) in conf.SETTINGS.items():
        value = getattr(settings, name, default)
        if problem := _type_problem(value, kinds):
            messages.append(
                Error(
                    f"{name} is {problem}.",
                    hint=f"Write in the settings: {name} = {default!r} (that is the default), or another "
                    f"{' or '.join(kind.__name__ for kind in kinds)}.",
                    id="sso.E012",
                )
            )
        elif kinds == (str,) and not callable(_imported(value)):
            messages.append(
                Error(
                    f"{name} is {value!r}, which cannot be imported or called.",
                    hint=f'Write the dotted path of what you mean, or the default: {name} = "{default}"',
                    id="sso.E013",
                )
            )
    known = [*conf.SETTINGS, conf.DSN_VARIABLE, conf.INTERNAL_URL_VARIABLE]
    for name in sorted(set(dir(settings)) - set(known)):
        # A site may have settings of its own that start with SSO_; only a likely slip is reported.
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name.startswith("SSO_") else []
        if close:
            messages.append(
                Warning(
                    f"There is no setting {name}; it has no effect.",
                    hint=f"Write {close[0]} in the place of {name}.",
                    id="sso.W005",
                )
            )
    return messages


def _type_problem(value: Any, kinds: tuple[type, ...]) -> str:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return f"of type {type(value).__name__}"
    if isinstance(value, int) and not isinstance(value, bool) and value < 1:
        return f"{value}, and has to be at least 1"
    if isinstance(value, int | str):
        return ""
    entries = cast(Iterable[Any], value)
    texts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(entries)
    return "" if all(isinstance(each, str) for each in texts) else "not made of text alone"


# --- helpers ---------------------------------------------------------------------------------


def _secret_key() -> str:
    try:
        return settings.SECRET_KEY
    except ImproperlyConfigured:  # where it is empty
        return ""


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return is_under(host, "localhost")


def _is_origin(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    is_server = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return is_server and not (parts.path or parts.query or parts.fragment or parts.username)


def _example(dsn: Dsn) -> str:
    return f"{dsn.site.replace('_', '-')}.{dsn.domain}"


def _dsn() -> Dsn | None:
    """The DSN where there is a valid one: only ``check_dsn`` complains about it."""
    try:
        return parse_dsn(conf.dsn_text())
    except InvalidDsn:
        return None


def _is_portal() -> bool:
    dsn = _dsn()
    return dsn is not None and dsn.site == PORTAL


def _imported(path: Any) -> Any:
    try:
        return import_string(path)
    except (ImportError, ValueError, AttributeError):
        return None


def _class(path: Any) -> type | None:
    found = _imported(path)
    return found if isinstance(found, type) else None


def _index(classes: list[type | None], wanted: type | None, but_not: type | None = None) -> int | None:
    """The first place in a list where there is a class or a subclass of it."""
    for index, class_ in enumerate(classes):
        if class_ is None or wanted is None or not issubclass(class_, wanted):
            continue
        if but_not is None or not issubclass(class_, but_not):
            return index
    return None


def check_user_model(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """A user of the portal can be stored in this site's user model."""
    from .users import UserMapper, unmapped_fields

    mapper = _imported(getattr(settings, "SSO_USER_MAPPER", conf.SETTINGS["SSO_USER_MAPPER"][0]))
    if _is_portal() or not (isinstance(mapper, type) and issubclass(mapper, UserMapper)):
        return []  # a path that names nothing is sso.E013
    model = get_user_model()
    return [
        Error(
            f"{model._meta.label}.{name} must have a value, and nothing gives it one: "
            "nobody from the portal could be stored here.",
            hint=f"Give {name} a default or null=True, or set it in a mapper of your own: "
            'SSO_USER_MAPPER = "path.to.YourUserMapper" (site_b/mapping.py is an example)',
            id="sso.E026",
        )
        for name in unmapped_fields(model, mapper())
    ]


#: Name -> check, in the order in which ``sso_doctor`` shows them.
CHECKS: Final[dict[str, Callable[..., list[CheckMessage]]]] = {
    "dsn": check_dsn,
    "keys": check_keys,
    "middleware": check_middleware,
    "backends": check_backends,
    "engine": check_engine,
    "serializer": check_serializer,
    "cookies": check_cookies,
    "csrf": check_csrf,
    "cache": check_cache,
    "urls": check_urls,
    "domain": check_domain,
    "internal-url": check_internal_url,
    "settings": check_settings,
    "user-model": check_user_model,
    "proxy": check_proxy,
}

for _check in CHECKS.values():
    register(_check, TAG, Tags.security, deploy=_check is check_proxy)
