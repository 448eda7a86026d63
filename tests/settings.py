"""A plain site: stock ``auth.User`` and the settings of the README, nothing else."""

import os

from sso_common import conf as sso
from sso_common.testing import make_dsn
from tests.servers import VALKEY_URL

os.environ["SSO_DSN"] = make_dsn("site_a", VALKEY_URL)

SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()
ALLOWED_HOSTS = ["testserver", ".testserver"]
INSTALLED_APPS = [
    "sso_common.admin.SSOAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "sso_common",
    "tests.belongings",
]
MIDDLEWARE = [
    "sso_common.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "sso_common.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "sso_common.backends.SSOBackend",
    "django.contrib.auth.backends.ModelBackend",
]
SESSION_ENGINE = "sso_common.sessions"
SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "sso": sso.cache(),
}
LOGIN_URL = "sso:login"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # the portal is at https://

ROOT_URLCONF = "tests.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

SSO_STAFF_ROLES = ["staff"]
SSO_ROLE_GROUPS = {"editor": "Editors"}
