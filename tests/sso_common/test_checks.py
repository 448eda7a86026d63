"""Every system check: what sets it off, and that nothing else does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.serializers import JSONSerializer
from django.core import signing
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

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


# --- what a site might have of its own ---------------------------------------------------------


class SessionStore(PlainStore):
    """A site's own engine: this module is a ``SESSION_ENGINE``."""


class OwnSessionMiddleware(SessionMiddleware):
    """A site's own middleware."""


class OwnAuthenticationMiddleware(AuthenticationMiddleware):
    """A site's own middleware."""


class PickleSerializer(JSONSerializer):
    """Called like the one that Django removed."""


class SigningSerializer:
    """Makes text, and no JSON."""

    def dumps(self, value: Any) -> bytes:
        return signing.dumps(value).encode()


class BrokenSerializer:
    """Cannot do anything."""

    def dumps(self, value: Any) -> bytes:
        raise OSError


def middleware(*paths: str) -> dict[str, Any]:
    return {"MIDDLEWARE": list(paths)}


def cache(**changes: Any) -> dict[str, Any]:
    """``CACHES`` with another entry for the store."""
    return {"CACHES": settings.CACHES | {"sso": conf.cache() | changes}}


def options(**changes: Any) -> dict[str, Any]:
    """``CACHES`` with other options for the store; None removes one."""
    merged = conf.cache()["OPTIONS"] | changes
    return cache(OPTIONS={name: value for name, value in merged.items() if value is not None})


def dsn(site: str = "site_a", redis_url: str = VALKEY_URL, **changes: Any) -> dict[str, Any]:
    """All settings that follow from another DSN."""
    text = make_dsn(site, redis_url, **changes)
    newest, *older = conf.secret_keys(text)
    caches = settings.CACHES | {"sso": conf.cache(text)}
    return {"SSO_DSN": text, "SECRET_KEY": newest, "SECRET_KEY_FALLBACKS": older, "CACHES": caches}


def rotated() -> dict[str, Any]:
    """A DSN with a new secret and the old one."""
    text = make_dsn("site_a", VALKEY_URL)
    secret = text.split(":")[2].split("@")[0]
    newer = conf.base64_encode(derive(b"newer".ljust(KEY_BYTES), "site:site_a")).decode()
    both = text.replace(secret, f"{newer},{secret}", 1)
    newest, *older = conf.secret_keys(both)
    caches = settings.CACHES | {"sso": conf.cache(both)}
    return {"SSO_DSN": both, "SECRET_KEY": newest, "SECRET_KEY_FALLBACKS": older, "CACHES": caches}


def found() -> list[CheckMessage]:
    return run_checks(tags=[checks.TAG], include_deployment_checks=True)


#: (id, what to break, what the hint says). Functions are called late: they read the settings.
BREAKS: list[tuple[str, Any, str]] = [
    ("sso.E002", {"SSO_DSN": "https://site_a@portal.example.com/?domain="}, "manage.py sso_site dsn <site>"),
    ("sso.E003", {"SECRET_KEY": "django-insecure-" + "x" * 50}, checks.LINES["keys"]),
    ("sso.E003", {"SECRET_KEY": ""}, "from sso_common import conf as sso"),
    ("sso.E004", middleware(COMMON, CSRF, AUTH, MESSAGES), f'"{SESSION}"'),
    ("sso.E004", middleware(STOCK_SESSION, COMMON, CSRF, AUTH, MESSAGES), f'the place of "{STOCK_SESSION}"'),
    ("sso.E005", middleware(SESSION, COMMON, CSRF, MESSAGES), f'"{AUTH}"'),
    ("sso.E005", middleware(SESSION, COMMON, CSRF, STOCK_AUTH, MESSAGES), f'the place of "{STOCK_AUTH}"'),
    ("sso.E006", middleware(STOCK_SESSION, SESSION, AUTH), f'Remove "{STOCK_SESSION}"'),
    ("sso.E006", middleware(SESSION, AUTH, STOCK_AUTH), f'Remove "{STOCK_AUTH}"'),
    ("sso.E007", middleware(AUTH, SESSION), f'Move "{SESSION}" up, above "{AUTH}"'),
    ("sso.E007", middleware(MESSAGES, SESSION, AUTH), f'Move "{SESSION}" up, above "{MESSAGES}"'),
    (
        "sso.E007",
        middleware(SESSION, "django.contrib.auth.middleware.LoginRequiredMiddleware", AUTH),
        f'Move "{AUTH}" up, above "django.contrib.auth.middleware.LoginRequiredMiddleware"',
    ),
    (
        "sso.E007",
        middleware(CSRF, SESSION, AUTH) | {"CSRF_USE_SESSIONS": True},
        f'Move "{SESSION}" up, above "{CSRF}"',
    ),
    (
        "sso.E008",
        {"AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"]},
        checks.LINES["backends"],
    ),
    ("sso.E009", {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"}, checks.LINES["engine"]),
    ("sso.E009", {"SESSION_ENGINE": "no.such.engine"}, checks.LINES["engine"]),
    ("sso.E010", {"SESSION_SERIALIZER": f"{HERE}.PickleSerializer"}, "serializers.JSONSerializer"),
    ("sso.E010", {"SESSION_SERIALIZER": f"{HERE}.SigningSerializer"}, "serializers.JSONSerializer"),
    ("sso.E010", {"SESSION_SERIALIZER": f"{HERE}.BrokenSerializer"}, "serializers.JSONSerializer"),
    ("sso.E010", {"SESSION_SERIALIZER": "no.such.Serializer"}, "serializers.JSONSerializer"),
    ("sso.E011", {"SESSION_COOKIE_NAME": "__Secure-sso-test"}, checks.LINES["cookie"]),
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
    ("sso.E013", {"SSO_ADOPT_SESSION": f"{HERE}.ROOT"}, 'SSO_ADOPT_SESSION = "sso_common.sessions.adopt"'),
    ("sso.E014", {"SESSION_COOKIE_DOMAIN": ".sso.testserver"}, "Remove SESSION_COOKIE_DOMAIN"),
    ("sso.E015", {"CSRF_COOKIE_DOMAIN": ".sso.testserver"}, "Remove CSRF_COOKIE_DOMAIN"),
    (
        "sso.E016",
        {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}},
        checks.LINES["cache"],
    ),
    (
        "sso.E017",
        lambda: cache(BACKEND="django.core.cache.backends.redis.RedisCache", OPTIONS={}),
        checks.LINES["cache"],
    ),
    ("sso.E017", lambda: cache(BACKEND="no.such.Cache"), checks.LINES["cache"]),
    ("sso.E018", lambda: cache(LOCATION="redis://127.0.0.1:6379/1"), checks.LINES["cache"]),
    ("sso.E018", lambda: cache(LOCATION=[VALKEY_URL, "redis://replica:6379/0"]), checks.LINES["cache"]),
    ("sso.E019", {"ROOT_URLCONF": "django.contrib.auth.urls"}, checks.LINES["urls"]),
    ("sso.E020", {"LOGIN_URL": "/accounts/login/"}, checks.LINES["login"]),
    ("sso.E020", {"LOGIN_URL": "no_such_name"}, checks.LINES["login"]),
    (
        "sso.E021",
        lambda: dsn(domain="co.uk", portal_url="https://portal.co.uk") | {"ALLOWED_HOSTS": ["a.co.uk"]},
        "set SSO_DOMAIN to a domain that is all yours",
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
        middleware(SESSION, "django.middleware.cache.UpdateCacheMiddleware", AUTH),
        f'Move "django.middleware.cache.UpdateCacheMiddleware" up, above "{SESSION}"',
    ),
    (
        "sso.E025",
        lambda: options(
            CONNECTION_POOL_KWARGS=conf.cache()["OPTIONS"]["CONNECTION_POOL_KWARGS"]
            | {"decode_responses": True}
        ),
        "Remove decode_responses",
    ),
    (
        "sso.W001",
        {"SESSION_COOKIE_NAME": "sessionid", "SESSION_COOKIE_SECURE": False},
        checks.LINES["cookie"],
    ),
    ("sso.W002", {"SESSION_COOKIE_SECURE": False}, "SESSION_COOKIE_SECURE = True"),
    ("sso.W003", {"SESSION_COOKIE_PATH": "/shop/"}, "Remove SESSION_COOKIE_PATH"),
    ("sso.W004", lambda: options(SOCKET_TIMEOUT=None), checks.LINES["cache"]),
    ("sso.W004", lambda: options(SOCKET_CONNECT_TIMEOUT=30), checks.LINES["cache"]),
    ("sso.W004", lambda: options(CONNECTION_POOL_KWARGS=None), checks.LINES["cache"]),
    ("sso.W005", {"SSO_STAFF_ROLE": ["staff"]}, "Write SSO_STAFF_ROLES in the place of SSO_STAFF_ROLE."),
    ("sso.W006", {"SESSION_SAVE_EVERY_REQUEST": True}, "SESSION_SAVE_EVERY_REQUEST = False"),
    ("sso.W007", {"ALLOWED_HOSTS": ["shop.example.com", "127.0.0.1"]}, '"site-a.sso.testserver"'),
    (
        "sso.W008",
        {"SECURE_PROXY_SSL_HEADER": None},
        'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")',
    ),
    ("sso.W009", lambda: rotated() | {"SECRET_KEY_FALLBACKS": ["of old"]}, checks.LINES["keys"]),
    ("sso.W010", lambda: dsn(portal_url="http://portal.sso.testserver"), "an https:// address"),
    (
        "sso.W011",
        lambda: {
            "INSTALLED_APPS": [
                "django.contrib.admin" if app == "sso_common.admin.SSOAdminConfig" else app
                for app in settings.INSTALLED_APPS
            ]
        },
        '"sso_common.admin.SSOAdminConfig"',
    ),
    ("sso.W012", {"CSRF_TRUSTED_ORIGINS": ["https://*.sso.testserver"]}, "write each origin"),
]


# --- promises ----------------------------------------------------------------------------------


def test_a_site_with_the_lines_of_the_readme_passes_every_check() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("id_", "broken", "hint"), BREAKS, ids=[f"{each[0]}-{n}" for n, each in enumerate(BREAKS)]
)
def test_one_mistake_is_one_message_with_the_line_to_write(id_: str, broken: Any, hint: str) -> None:
    with override_settings(**(broken() if callable(broken) else broken)):
        messages = found()

    assert [message.id for message in messages] == [id_]
    assert hint in (messages[0].hint or "")
    assert messages[0].is_serious() == id_.startswith("sso.E")


def test_a_missing_dsn_is_one_message_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSO_DSN")

    messages = found()

    assert [message.id for message in messages] == ["sso.E001"]
    assert "SSO_DSN" in messages[0].msg
    assert "manage.py sso_site dsn <site>" in (messages[0].hint or "")


@pytest.mark.parametrize(
    "fine",
    [
        pytest.param({"SESSION_ENGINE": HERE}, id="an engine of its own over ours"),
        pytest.param(
            middleware(f"{HERE}.OwnSessionMiddleware", COMMON, CSRF, f"{HERE}.OwnAuthenticationMiddleware"),
            id="middlewares of its own over ours",
        ),
        pytest.param(
            middleware("django.middleware.cache.UpdateCacheMiddleware", SESSION, AUTH),
            id="a page cache outside",
        ),
        pytest.param(
            middleware(MESSAGES, SESSION, AUTH)
            | {"MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage"},
            id="messages that need no session",
        ),
        pytest.param(rotated, id="two secrets while they rotate"),
        pytest.param(
            {"ALLOWED_HOSTS": ["127.0.0.1", "a.sso.testserver:8001"]}, id="other hosts beside its own"
        ),
        pytest.param({"LOGIN_URL": "/sso/login/"}, id="the hop by its path"),
        pytest.param(
            lambda: dsn("portal") | {"LOGIN_URL": "/accounts/login/"},
            id="the portal with its own sign-in page",
        ),
        pytest.param(lambda: dsn(redis_url=VALKEY_URL.replace("redis:", "redis-cluster:")), id="a cluster"),
        pytest.param(
            lambda: (
                dsn(domain="sso.localhost", portal_url="http://portal.sso.localhost:8000")
                | {"ALLOWED_HOSTS": [".localhost"], "SECURE_PROXY_SSL_HEADER": None}
            ),
            id="plain http under localhost",
        ),
        pytest.param({"SSO_PORTAL_INTERNAL_URL": "http://127.0.0.1:8000/"}, id="an internal address"),
        pytest.param(
            {"CSRF_TRUSTED_ORIGINS": ["https://a.sso.testserver", "https://*.elsewhere.example"]},
            id="trusted origins elsewhere",
        ),
        pytest.param({"SSO_WIDGETS": 3, "SSO_IDLE": 5}, id="settings of its own that start with SSO_"),
    ],
)
def test_what_a_site_may_do_its_own_way_is_no_mistake(fine: Any) -> None:
    with override_settings(**(fine() if callable(fine) else fine)):
        assert found() == []


def test_a_check_shows_no_secret() -> None:
    secret = make_dsn("site_a", VALKEY_URL).split(":")[2].split("@")[0]
    broken = {"SSO_DSN": make_dsn("site_a", VALKEY_URL).replace("domain=", "domian=")}

    with override_settings(**broken, SECRET_KEY="another" * 8):
        text = "".join(f"{message.msg}{message.hint}" for message in found())

    assert text
    assert secret not in text
    assert conf.secret_keys(make_dsn("site_a", VALKEY_URL))[0] not in text


# --- ids ---------------------------------------------------------------------------------------


def ids_in(text: str) -> list[str]:
    return re.findall(r"sso\.[EW]\d{3}", text)


def test_ids_are_unique() -> None:
    used = re.findall(r'id="(sso\.[EW]\d{3})"', Path(checks.__file__).read_text())

    assert len(used) == len(set(used))
    assert len(used) > 30


def test_every_id_is_documented_once_and_nothing_else_is() -> None:
    used = set(re.findall(r'id="(sso\.[EW]\d{3})"', Path(checks.__file__).read_text()))

    rows = re.findall(r"^\| `(sso\.[EW]\d{3})` \|", (ROOT / "docs" / "checks.md").read_text(), re.MULTILINE)

    assert sorted(rows) == sorted(used)


def test_every_id_has_a_test() -> None:
    used = set(re.findall(r'id="(sso\.[EW]\d{3})"', Path(checks.__file__).read_text()))

    elsewhere = {"sso.E001", "sso.E026"}  # below; test_user_models.py
    assert {id_ for id_, _, _ in BREAKS} | elsewhere == used


# --- real processes ----------------------------------------------------------------------------


def run_check(settings_module: str, environment: dict[str, str], *paths: Path) -> str:
    """What ``check --deploy`` says of a settings module, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SSO_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", "--deploy"],
        env=clean
        | {"DJANGO_SETTINGS_MODULE": settings_module, "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT]))}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


SITE_ENVIRONMENT = {
    "SSO_DSN": make_dsn(
        "site_a",
        "redis://127.0.0.1:6379/0",
        domain="example.com",
        portal_url="https://portal.example.com",
        namespace="sso",
    ),
    "SITE_HOSTS": "a.example.com",
    "DATABASE_URL": "sqlite://:memory:",
}
PORTAL_ENVIRONMENT = {
    "SSO_ROOT_SECRET": "b2YtdGhlLXRlc3RzLW9mLXRoZS10ZXN0cy1vZi10aGUtdGVzdHM",
    "SSO_PORTAL_URL": "https://portal.example.com",
    "SSO_DOMAIN": "example.com",
    "SSO_REDIS_URL": "redis://sso-portal:password@127.0.0.1:6379/0",
    "DATABASE_URL": "sqlite://:memory:",
}


@pytest.mark.parametrize(
    ("module", "environment"),
    [
        ("portal.settings", PORTAL_ENVIRONMENT),
        ("site_a.settings", SITE_ENVIRONMENT),
        ("site_b.settings", SITE_ENVIRONMENT),
    ],
)
def test_the_projects_of_this_repository_pass(module: str, environment: dict[str, str]) -> None:
    output = run_check(module, environment)

    assert "System check identified" in output
    assert ids_in(output) == []


#: The line's mark in site_a/settings.py -> what is said where the line is missing.
FORGOTTEN = {
    "# SSO 1": ("name 'sso' is not defined",),
    "# SSO 2": ("sso.E003", "SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()"),
    "# SSO 3": ("ImproperlyConfigured", 'INSTALLED_APPS += ["sso_common"]'),
    "# SSO 4": ("sso.E004", '"sso_common.middleware.SessionMiddleware"'),
    "# SSO 5": ("sso.E005", '"sso_common.middleware.AuthenticationMiddleware"'),
    "# SSO 6": ("sso.E008", '"sso_common.backends.SSOBackend"'),
    "# SSO 7": ("sso.E009", 'SESSION_ENGINE = "sso_common.sessions"'),
    "# SSO 8": ("sso.W001", 'SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True'),
    "# SSO 9": ("sso.E016", 'CACHES["sso"] = sso.cache()'),
    "# SSO 10": ("sso.E020", 'LOGIN_URL = "sso:login"'),
}


@pytest.mark.parametrize("mark", FORGOTTEN)
def test_a_forgotten_line_of_the_settings_is_named(mark: str, tmp_path: Path) -> None:
    lines = (ROOT / "site_a" / "settings.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if re.search(rf"{mark}\b", line) is None]
    (tmp_path / "forgetful.py").write_text("".join(kept))

    output = run_check("forgetful", SITE_ENVIRONMENT, tmp_path)

    assert len(lines) - len(kept) == 1
    for words in FORGOTTEN[mark]:
        assert words in output
    assert set(ids_in(output)) <= set(FORGOTTEN[mark])


def test_the_forgotten_line_of_the_urls_is_named(tmp_path: Path) -> None:
    lines = (ROOT / "site_a" / "urls.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if 'include("sso_common.urls")' not in line]
    (tmp_path / "forgetful_urls.py").write_text("".join(kept))
    text = (ROOT / "site_a" / "settings.py").read_text().replace('"site_a.urls"', '"forgetful_urls"')
    (tmp_path / "forgetful.py").write_text(text)

    output = run_check("forgetful", SITE_ENVIRONMENT, tmp_path)

    assert len(lines) - len(kept) == 1
    assert ids_in(output) == ["sso.E019"]
    assert 'Write in urlpatterns of forgetful_urls: path("sso/", include("sso_common.urls"))' in output


def test_the_forgotten_environment_variable_is_named() -> None:
    output = run_check("site_a.settings", SITE_ENVIRONMENT | {"SSO_DSN": ""})

    assert ids_in(output) == ["sso.E001"]
    assert "The environment variable SSO_DSN is not set." in output


def test_a_server_without_the_app_refuses_to_start_and_names_the_line(tmp_path: Path) -> None:
    text = (ROOT / "site_a" / "settings.py").read_text().replace('INSTALLED_APPS += ["sso_common"]', "")
    (tmp_path / "forgetful.py").write_text(text)
    environment = os.environ | SITE_ENVIRONMENT | {"DJANGO_SETTINGS_MODULE": "forgetful"}

    done = subprocess.run(
        [sys.executable, "-c", "from django.core.wsgi import get_wsgi_application as start; start()"],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert 'ImproperlyConfigured: Write in the settings: INSTALLED_APPS += ["sso_common"]' in done.stderr
