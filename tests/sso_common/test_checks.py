"""Every system check: which mistakes trigger it, and that nothing else does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.sites import AdminSite, all_sites
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.models import User
from django.contrib.sessions.serializers import JSONSerializer
from django.core import signing
from django.core.checks import CheckMessage, run_checks
from django.db import connection
from django.test import override_settings
from itsdangerous.encoding import base64_encode

from sso_common import checks, conf
from sso_common.keys import KEY_BYTES, derive
from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.sessions import SessionStore as PlainStore
from sso_common.testing import make_dsn
from sso_common.users import UserMapper
from tests.servers import VALKEY_URL

ROOT = Path(__file__).resolve().parents[2]
HERE = __name__

SESSION = "sso_common.middleware.SessionMiddleware"
AUTH = "sso_common.middleware.AuthenticationMiddleware"
STOCK_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
STOCK_AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
PRODUCTS = "tests.sso_common.products.middleware"
WEBLATE = f"{PRODUCTS}.WeblateLike"
OWN_COOKIE = f"{PRODUCTS}.OwnCookie"
PAGE_CACHE = "django.middleware.cache.UpdateCacheMiddleware"

SSO_BACKEND = "sso_common.backends.SSOBackend"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

#: The lines of the README.
WRITE_KEYS = "SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()"
WRITE_BACKENDS = (
    'AUTHENTICATION_BACKENDS = ["sso_common.backends.SSOBackend", '
    '"django.contrib.auth.backends.ModelBackend"]'
)
WRITE_ENGINE = 'SESSION_ENGINE = "sso_common.sessions"'
WRITE_COOKIE = 'SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True'
WRITE_CACHE = 'CACHES["sso"] = sso.cache()'
WRITE_URLS = 'path("sso/", include("sso_common.urls"))'
WRITE_LOGIN = 'LOGIN_URL = "sso:login"'


# --- classes of a site -------------------------------------------------------------------------


class SessionStore(PlainStore):
    """A subclass of our store: this module is a ``SESSION_ENGINE``."""


class OwnSessionMiddleware(SessionMiddleware):
    """A subclass of our middleware."""


class OwnAuthenticationMiddleware(AuthenticationMiddleware):
    """A subclass of our middleware."""


class OwnLoginRequiredMiddleware(LoginRequiredMiddleware):
    """A subclass of a middleware that reads the user."""


class PickleSerializer(JSONSerializer):
    """Has the name of the one that Django removed."""


class SigningSerializer:
    """Produces text that is not JSON."""

    def dumps(self, value: Any) -> bytes:
        return signing.dumps(value).encode()


class BrokenSerializer:
    """Raises an error that serializers do not raise."""

    def dumps(self, value: Any) -> bytes:
        raise OSError


class AccountsApart:
    """A router that separates the accounts from the users."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is get_user_model() else None


class GuardedRoles(UserMapper):
    """Sets a field only if a role gives it."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        user.is_staff = False
        if "root" in roles:
            user.is_superuser = True


class MisspeltRoles(UserMapper):
    """Sets what is not a field."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        user.is_adminstrator = "admin" in roles


class PasswordRoles(UserMapper):
    """Sets the password."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        if not roles.isdisjoint({"admin"}):
            user.password = "known"
        else:
            user.password = ""


class RaisingRoles(UserMapper):
    """Needs a user with values."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        user.is_staff = user.email.split("@")[1] in roles & {"example.com"}


def middleware(*paths: str) -> dict[str, Any]:
    return {"MIDDLEWARE": list(paths)}


def cache(**changes: Any) -> dict[str, Any]:
    """Change the entry of Redis in ``CACHES``."""
    return {"CACHES": settings.CACHES | {"sso": conf.cache() | changes}}


def options(**changes: Any) -> dict[str, Any]:
    """Change the options of Redis in ``CACHES``; None removes one."""
    merged = conf.cache()["OPTIONS"] | changes
    return cache(OPTIONS={name: value for name, value in merged.items() if value is not None})


def dsn(site: str = "site_a", redis_url: str = VALKEY_URL, **changes: Any) -> dict[str, Any]:
    """Return the settings that depend on the DSN, for another DSN."""
    text = make_dsn(site, redis_url, **changes)
    newest, *older = conf.secret_keys(text)
    caches = settings.CACHES | {"sso": conf.cache(text)}
    return {"SSO_DSN": text, "SECRET_KEY": newest, "SECRET_KEY_FALLBACKS": older, "CACHES": caches}


def rotated() -> dict[str, Any]:
    """Return the settings of a DSN with a new secret and the old one."""
    text = make_dsn("site_a", VALKEY_URL)
    secret = text.split(":")[2].split("@")[0]
    newer = base64_encode(derive(b"newer".ljust(KEY_BYTES), "site:site_a")).decode()
    both = text.replace(secret, f"{newer},{secret}", 1)
    newest, *older = conf.secret_keys(both)
    caches = settings.CACHES | {"sso": conf.cache(both)}
    return {"SSO_DSN": both, "SECRET_KEY": newest, "SECRET_KEY_FALLBACKS": older, "CACHES": caches}


def found() -> list[CheckMessage]:
    return run_checks(tags=[checks.TAG], include_deployment_checks=True)


LOGINS = ["shop_login", "event:login", "konto_login", "async_login", "tests.product_urls.ShopLogin"]
COVERED = ["gate", *LOGINS, "/old/login/", "office:login"]
ACCOUNTS = {"shop_password": "password", "/shop/register": "signup", "office:password_change": "local"}


def product(**changes: Any) -> dict[str, Any]:
    """Return the settings of a product that has login and account pages of its own; all are covered."""
    return {
        "ROOT_URLCONF": "tests.product_urls",
        "SSO_LOGIN_PAGES": COVERED,
        "SSO_ACCOUNT_PAGES": ACCOUNTS,
    } | changes


#: (id, the mistake, a part of the hint). Functions read the settings, so the test calls them.
BREAKS: list[tuple[str, Any, str]] = [
    ("sso.E030", {"DATABASE_ROUTERS": [f"{HERE}.AccountsApart"]}, "send the app sso_common to 'other'"),
    ("sso.E002", {"SSO_DSN": "https://site_a@portal.example.com/?domain="}, "manage.py sso_site dsn <site>"),
    ("sso.E003", {"SECRET_KEY": "django-insecure-" + "x" * 50}, WRITE_KEYS),
    ("sso.E003", {"SECRET_KEY": ""}, "from sso_common import conf as sso"),
    ("sso.E004", middleware(COMMON, CSRF, AUTH, MESSAGES), f'"{SESSION}"'),
    ("sso.E004", middleware(STOCK_SESSION, COMMON, CSRF, AUTH, MESSAGES), f'in place of "{STOCK_SESSION}"'),
    ("sso.E005", middleware(SESSION, COMMON, CSRF, MESSAGES), f'"{AUTH}"'),
    ("sso.E005", middleware(SESSION, COMMON, CSRF, STOCK_AUTH, MESSAGES), f'in place of "{STOCK_AUTH}"'),
    (
        "sso.E005",
        middleware(SESSION, COMMON, CSRF, WEBLATE, MESSAGES),
        f'"{AUTH}" in MIDDLEWARE, above "{WEBLATE}"',
    ),
    ("sso.E006", middleware(STOCK_SESSION, SESSION, AUTH), f'Remove "{STOCK_SESSION}"'),
    ("sso.E006", middleware(SESSION, AUTH, STOCK_AUTH), f'Remove "{STOCK_AUTH}"'),
    ("sso.E007", middleware(AUTH, SESSION), f'Move "{SESSION}" up, above "{AUTH}"'),
    ("sso.E007", middleware(MESSAGES, SESSION, AUTH), f'Move "{SESSION}" up, above "{MESSAGES}"'),
    (
        "sso.E007",
        middleware(SESSION, LOGIN_REQUIRED, AUTH),
        f'Move "{AUTH}" up, above "{LOGIN_REQUIRED}"',
    ),
    (
        "sso.E007",
        middleware(SESSION, f"{HERE}.OwnLoginRequiredMiddleware", AUTH),
        f'Move "{AUTH}" up, above "{HERE}.OwnLoginRequiredMiddleware"',
    ),
    (
        "sso.E007",
        middleware(CSRF, SESSION, AUTH) | {"CSRF_USE_SESSIONS": True},
        f'Move "{SESSION}" up, above "{CSRF}"',
    ),
    (
        "sso.E008",
        {"AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"]},
        WRITE_BACKENDS,
    ),
    ("sso.E009", {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"}, WRITE_ENGINE),
    ("sso.E009", {"SESSION_ENGINE": "no.such.engine"}, WRITE_ENGINE),
    ("sso.E010", {"SESSION_SERIALIZER": f"{HERE}.PickleSerializer"}, "serializers.JSONSerializer"),
    ("sso.E010", {"SESSION_SERIALIZER": f"{HERE}.SigningSerializer"}, "serializers.JSONSerializer"),
    ("sso.E010", {"SESSION_SERIALIZER": f"{HERE}.BrokenSerializer"}, "serializers.JSONSerializer"),
    ("sso.E010", {"SESSION_SERIALIZER": "no.such.Serializer"}, "serializers.JSONSerializer"),
    ("sso.E011", {"SESSION_COOKIE_NAME": "__Secure-sso-test"}, WRITE_COOKIE),
    ("sso.E012", {"SSO_STAFF_ROLES": "staff"}, "SSO_STAFF_ROLES = ()"),
    ("sso.E012", {"SSO_STAFF_ROLES": [1]}, "SSO_STAFF_ROLES = ()"),
    ("sso.E012", {"SSO_ROLE_GROUPS": {"editor": None}}, "SSO_ROLE_GROUPS = {}"),
    ("sso.E012", {"SSO_HARD_DELETE": "no"}, "SSO_HARD_DELETE = False"),
    ("sso.E012", {"SSO_FEED_PAGE": True}, "SSO_FEED_PAGE = 500"),
    ("sso.E012", {"SSO_TOUCH_INTERVAL": 0}, "SSO_TOUCH_INTERVAL = 60"),
    ("sso.E012", {"SSO_USER_MAPPER": UserMapper}, "SSO_USER_MAPPER = 'sso_common.users.UserMapper'"),
    (
        "sso.E013",
        {"SSO_USER_MAPPER": "my_site.users.Mapper"},
        'SSO_USER_MAPPER = "sso_common.users.UserMapper"',
    ),
    ("sso.E013", {"SSO_ADOPT_SESSION": f"{HERE}.ROOT"}, 'SSO_ADOPT_SESSION = "sso_common.adoption.adopt"'),
    ("sso.E014", {"SESSION_COOKIE_DOMAIN": ".sso.testserver"}, "Remove SESSION_COOKIE_DOMAIN"),
    ("sso.E015", {"CSRF_COOKIE_DOMAIN": ".sso.testserver"}, "Remove CSRF_COOKIE_DOMAIN"),
    (
        "sso.E016",
        {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}},
        WRITE_CACHE,
    ),
    (
        "sso.E017",
        lambda: cache(BACKEND="django.core.cache.backends.redis.RedisCache", OPTIONS={}),
        WRITE_CACHE,
    ),
    ("sso.E017", lambda: cache(BACKEND="no.such.Cache"), WRITE_CACHE),
    ("sso.E018", lambda: cache(LOCATION="redis://127.0.0.1:6379/1"), WRITE_CACHE),
    ("sso.E018", lambda: cache(LOCATION=[VALKEY_URL, "redis://replica:6379/0"]), WRITE_CACHE),
    ("sso.E019", {"ROOT_URLCONF": "django.contrib.auth.urls"}, WRITE_URLS),
    ("sso.E020", {"LOGIN_URL": "/accounts/login/"}, WRITE_LOGIN),
    ("sso.E020", {"LOGIN_URL": "shop_password"} | product(), WRITE_LOGIN),
    ("sso.E020", {"LOGIN_URL": "no_such_name"}, WRITE_LOGIN),
    (
        "sso.E021",
        lambda: dsn(domain="co.uk", portal_url="https://portal.co.uk") | {"ALLOWED_HOSTS": ["a.co.uk"]},
        "set SSO_DOMAIN to a domain that belongs to you alone",
    ),
    (
        "sso.E021",
        lambda: dsn(domain="localhost", portal_url="https://portal.localhost") | {"ALLOWED_HOSTS": ["*"]},
        "sso.localhost",
    ),
    (
        "sso.E022",
        lambda: dsn(portal_url="https://portal-sso.testserver"),
        "make SSO_PORTAL_URL and SSO_DOMAIN agree",
    ),
    ("sso.E023", {"SSO_PORTAL_INTERNAL_URL": "portal:8000"}, "SSO_PORTAL_INTERNAL_URL=http://<host>:<port>"),
    ("sso.E023", {"SSO_PORTAL_INTERNAL_URL": "http://portal:8000/sso"}, "without a path"),
    (
        "sso.E024",
        middleware(SESSION, PAGE_CACHE, AUTH),
        f'Move "{PAGE_CACHE}" up, above "{SESSION}"',
    ),
    (
        "sso.E025",
        lambda: options(CONNECTION_POOL_KWARGS={"decode_responses": True}),
        "Remove decode_responses",
    ),
    (
        "sso.W001",
        {"SESSION_COOKIE_NAME": "sessionid", "SESSION_COOKIE_SECURE": False},
        WRITE_COOKIE,
    ),
    ("sso.W002", {"SESSION_COOKIE_SECURE": False}, "SESSION_COOKIE_SECURE = True"),
    ("sso.W003", {"SESSION_COOKIE_PATH": "/shop/"}, "Remove SESSION_COOKIE_PATH"),
    ("sso.W004", lambda: options(SOCKET_TIMEOUT=None), WRITE_CACHE),
    ("sso.W004", lambda: options(SOCKET_CONNECT_TIMEOUT=30), WRITE_CACHE),
    ("sso.W004", lambda: options(CONNECTION_FACTORY=None), WRITE_CACHE),
    ("sso.W005", {"SSO_STAFF_ROLE": ["staff"]}, "Write SSO_STAFF_ROLES in place of SSO_STAFF_ROLE."),
    ("sso.W006", {"SESSION_SAVE_EVERY_REQUEST": True}, "SESSION_SAVE_EVERY_REQUEST = False"),
    ("sso.W007", {"ALLOWED_HOSTS": ["shop.example.com", "127.0.0.1"]}, '"site-a.sso.testserver"'),
    (
        "sso.W008",
        {"SECURE_PROXY_SSL_HEADER": None},
        'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")',
    ),
    ("sso.W009", lambda: rotated() | {"SECRET_KEY_FALLBACKS": ["of old"]}, WRITE_KEYS),
    ("sso.W010", lambda: dsn(portal_url="http://portal.sso.testserver"), "an https:// address"),
    (
        "sso.W011",
        product(SSO_LOGIN_PAGES=["gate", *LOGINS, "/old/login/"]),
        '"tests.product_urls.ShopLogin", "/old/login/", "office:login"]',
    ),
    (
        "sso.W015",
        {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
        "SESSION_EXPIRE_AT_BROWSER_CLOSE = False",
    ),
    ("sso.W024", {"SSO_USER_MAPPER": f"{HERE}.GuardedRoles"}, 'user.is_superuser = "admin" in roles'),
    ("sso.E035", {"SSO_USER_MAPPER": f"{HERE}.MisspeltRoles"}, "the name of a field of auth.User"),
    ("sso.E035", {"SSO_USER_MAPPER": f"{HERE}.PasswordRoles"}, "Do not set password"),
    ("sso.E035", {"SSO_USER_MAPPER": f"{HERE}.RaisingRoles"}, "from the roles alone"),
    (
        "sso.W018",
        product(SSO_LOGIN_PAGES=[each for each in COVERED if each != "shop_login"]),
        '"office:login", "shop_login"]',
    ),
    (
        "sso.W018",
        product(SSO_LOGIN_PAGES=[each for each in COVERED if each != "/old/login/"]),
        '"/old/login/"]',
    ),
    (
        "sso.W018",
        product(SSO_LOGIN_PAGES=[each for each in COVERED if "." not in each]),
        'SSO_ACCOUNT_PAGES = {"tests.product_urls.ShopLogin": "local"}',
    ),
    (
        "sso.W019",
        product(SSO_ACCOUNT_PAGES={"shop_password": "password", "office:password_change": "local"}),
        '"office:password_change": "local", "shop_register": "signup"}',
    ),
    ("sso.E031", {"SSO_LOGIN_PAGES": ["admin:logn"]}, '(perhaps ["admin:login"'),
    ("sso.E031", {"SSO_LOGIN_PAGES": ["/no/such/page/"]}, "the path of a page"),
    ("sso.E031", {"SSO_ACCOUNT_PAGES": {"no_such_name": "password"}}, "with all namespaces"),
    ("sso.E031", {"SSO_LOGIN_PAGES": ["sso:login"]}, "the path of a page"),
    ("sso.E032", product(ROOT_URLCONF="tests.catch_all_urls"), 'to the top: path("sso/", include('),
    ("sso.E033", {"SSO_ACCOUNT_PAGES": {"/user/": "pasword"}}, '"password"'),
    ("sso.W012", {"CSRF_TRUSTED_ORIGINS": ["https://*.sso.testserver"]}, "write the exact origins"),
    (
        "sso.W013",
        {"AUTHENTICATION_BACKENDS": [MODEL_BACKEND, SSO_BACKEND]},
        f'Move "{SSO_BACKEND}" up, above "{MODEL_BACKEND}"',
    ),
    ("sso.W021", middleware(SESSION, COMMON, CSRF, WEBLATE, AUTH), f'Move "{AUTH}" up, above "{WEBLATE}"'),
    (
        "sso.W022",
        middleware(SESSION, COMMON, CSRF, AUTH, OWN_COOKIE),
        "django.contrib.auth.get_user(request)",
    ),
]


# --- messages ----------------------------------------------------------------------------------


def test_site_with_the_lines_of_the_readme_passes_every_check() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("id_", "broken", "hint"), BREAKS, ids=[f"{each[0]}-{n}" for n, each in enumerate(BREAKS)]
)
def test_mistake_gives_one_message_with_the_line_to_write(id_: str, broken: Any, hint: str) -> None:
    with override_settings(**(broken() if callable(broken) else broken)):
        messages = found()

    assert [message.id for message in messages] == [id_]
    assert hint in (messages[0].hint or "")
    assert messages[0].is_serious() == id_.startswith("sso.E")


def test_missing_dsn_gives_one_message_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSO_DSN")

    messages = found()

    assert [message.id for message in messages] == ["sso.E001"]
    assert "SSO_DSN" in messages[0].msg
    assert "manage.py sso_site dsn <site>" in (messages[0].hint or "")


@pytest.mark.parametrize(
    ("vendor", "site", "expected"),
    [
        ("postgresql", "site_a", []),
        ("mysql", "site_a", []),
        ("sqlite", "site_a", []),
        ("oracle", "site_a", ["sso.E029"]),
        ("cockroachdb", "site_a", ["sso.E029"]),
        ("unknown", "site_a", ["sso.E029"]),
        ("postgresql", "portal", []),
        ("mysql", "portal", ["sso.E029"]),
    ],
)
def test_engine_that_is_not_supported_is_named(
    monkeypatch: pytest.MonkeyPatch, vendor: str, site: str, expected: list[str]
) -> None:
    monkeypatch.setattr(connection, "vendor", vendor)

    with override_settings(**dsn(site)):
        messages = found()

    assert [message.id for message in messages] == expected
    for message in messages:
        assert "PostgreSQL" in (message.hint or "")
        assert ("MariaDB" in (message.hint or "")) == (site != "portal")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("repeatable read", ["sso.W017"]), (None, ["sso.W017"]), ("READ COMMITTED", [])],
)
def test_isolation_level_of_mysql_that_hides_users_is_reported(
    monkeypatch: pytest.MonkeyPatch, level: str | None, expected: list[str]
) -> None:
    monkeypatch.setattr(connection, "vendor", "mysql")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"isolation_level": level})

    assert [message.id for message in found()] == expected


@pytest.mark.parametrize(
    "variation",
    [
        pytest.param({"SESSION_ENGINE": HERE}, id="subclass of the session store"),
        pytest.param(
            middleware(f"{HERE}.OwnSessionMiddleware", COMMON, CSRF, f"{HERE}.OwnAuthenticationMiddleware"),
            id="subclasses of the middlewares",
        ),
        pytest.param(
            middleware(PAGE_CACHE, SESSION, AUTH),
            id="page cache outside the session",
        ),
        pytest.param(
            middleware(MESSAGES, SESSION, AUTH)
            | {"MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage"},
            id="messages without a session",
        ),
        pytest.param(
            middleware(
                SESSION, COMMON, CSRF, AUTH, WEBLATE, f"{PRODUCTS}.LazyCopy", f"{PRODUCTS}.LateOwnCookie"
            ),
            id="middlewares that ask who is signed in",
        ),
        pytest.param(rotated, id="two secrets during rotation"),
        pytest.param({"ALLOWED_HOSTS": ["127.0.0.1", "a.sso.testserver:8001"]}, id="additional hosts"),
        pytest.param({"LOGIN_URL": "/sso/login/"}, id="login URL as a path"),
        pytest.param(
            lambda: dsn("portal") | {"LOGIN_URL": "/accounts/login/"},
            id="portal with its own sign-in page",
        ),
        pytest.param(lambda: dsn(redis_url=VALKEY_URL.replace("redis:", "redis-cluster:")), id="cluster"),
        pytest.param(
            lambda: (
                dsn(domain="sso.localhost", portal_url="http://portal.sso.localhost:8000")
                | {"ALLOWED_HOSTS": [".localhost"], "SECURE_PROXY_SSL_HEADER": None}
            ),
            id="plain http under localhost",
        ),
        pytest.param({"SSO_PORTAL_INTERNAL_URL": "http://127.0.0.1:8000/"}, id="internal address"),
        pytest.param(
            {"CSRF_TRUSTED_ORIGINS": ["https://a.sso.testserver", "https://*.elsewhere.example"]},
            id="trusted origins elsewhere",
        ),
        pytest.param(product(), id="login and account pages of other apps"),
        pytest.param(product(LOGIN_URL="shop_login"), id="login URL of another app"),
        pytest.param(
            product(SSO_LOGIN_PAGES=[], SSO_ACCOUNT_PAGES=dict.fromkeys([*COVERED, *ACCOUNTS], "local")),
            id="login and account pages that stay",
        ),
        pytest.param(
            product(SSO_LOGIN_PAGES=[*COVERED, "/de/konto/login/", "/any/mine/"]), id="dynamic paths"
        ),
        pytest.param(
            lambda: product(**dsn("portal"), SSO_LOGIN_PAGES=[], SSO_ACCOUNT_PAGES={}), id="portal's pages"
        ),
        pytest.param({"SSO_WIDGETS": 3, "SSO_IDLE": 5}, id="other settings that start with SSO_"),
    ],
)
def test_supported_variation_gives_no_message(variation: Any) -> None:
    with override_settings(**(variation() if callable(variation) else variation)):
        assert found() == []


def test_messages_do_not_show_secrets() -> None:
    secret = make_dsn("site_a", VALKEY_URL).split(":")[2].split("@")[0]
    broken = {"SSO_DSN": make_dsn("site_a", VALKEY_URL).replace("domain=", "domian=")}

    with override_settings(**broken, SECRET_KEY="another" * 8):
        text = "".join(f"{message.msg}{message.hint}" for message in found())

    assert text
    assert secret not in text
    assert conf.secret_keys(make_dsn("site_a", VALKEY_URL))[0] not in text


def test_own_admin_site_with_users_that_anyone_can_change_is_named() -> None:
    site = AdminSite("own")
    site.register(User, UserAdmin)
    try:
        messages = found()
    finally:
        all_sites.discard(site)

    assert [message.id for message in messages] == ["sso.W025"]
    assert "class UserAdmin(SSOUserAdminMixin, ...)" in (messages[0].hint or "")


# --- ids ---------------------------------------------------------------------------------------


def ids_in_code() -> list[str]:
    files = Path(checks.__file__).parent.glob("*.py")

    return [f"sso.{number}" for file in files for number in re.findall(r'"([EW]\d{3})"', file.read_text())]


def test_ids_are_unique() -> None:
    assert len(ids_in_code()) == len(set(ids_in_code()))


def test_documentation_lists_every_id_once_and_no_other() -> None:
    document = (ROOT / "docs" / "checks.md").read_text()

    rows = re.findall(r"^\| `(sso\.[EW]\d{3})` \|", document, re.MULTILINE)

    assert sorted(rows) == sorted(ids_in_code())


def test_a_test_triggers_every_id() -> None:
    # here; E026, W020, W023, W025: test_user_models.py
    elsewhere = {"sso.E001", "sso.E026", "sso.E029", "sso.W017", "sso.W020", "sso.W023", "sso.W025"}

    assert {id_ for id_, _, _ in BREAKS} | elsewhere == set(ids_in_code())


@pytest.mark.parametrize("name", checks.CHECKS)
def test_check_has_a_sentence_for_the_doctor_to_show(name: str) -> None:
    sentence = (checks.CHECKS[name].__doc__ or "").splitlines()[0]

    assert re.fullmatch(r"[^`]+\.", sentence)
