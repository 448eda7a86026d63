"""Settings of Notes.

The lines marked ``SSO 1`` to ``SSO 10`` are all that ``sso_common`` needs. The settings named ``SSO_...``
are optional. Everything else is the same as in any Django project.

Environment: ``SSO_DSN`` (printed by the portal), ``DATABASE_URL``, ``SITE_HOSTS``, ``SITE_PLACES``,
``DJANGO_DEBUG``.
"""

import os
from pathlib import Path

import dj_database_url

from sso_common import conf as sso  # SSO 1

BASE_DIR = Path(__file__).resolve().parent

DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("SITE_HOSTS", ".localhost").split(",")
SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()  # SSO 2

INSTALLED_APPS = [
    "sso_common.admin.SSOAdminConfig",  # replaces django.contrib.admin; users sign in at the portal
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "site_a.notes",
]
INSTALLED_APPS += ["sso_common"]  # SSO 3

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "sso_common.middleware.SessionMiddleware",  # SSO 4
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "sso_common.middleware.AuthenticationMiddleware",  # SSO 5
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

AUTHENTICATION_BACKENDS = [
    "sso_common.backends.SSOBackend",  # SSO 6
    "django.contrib.auth.backends.ModelBackend",  # for a local superuser in emergencies
]
SESSION_ENGINE = "sso_common.sessions"  # SSO 7
SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True  # SSO 8
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CACHES["sso"] = sso.cache()  # SSO 9
LOGIN_URL = "sso:login"  # SSO 10

# What the portal's roles mean on this site. Roles that are not listed have no effect.
SSO_STAFF_ROLES = ["staff"]
SSO_ROLE_GROUPS = {"staff": "Staff", "editor": "Editors"}

ROOT_URLCONF = "site_a.urls"
WSGI_APPLICATION = "site_a.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "site_a.places.places",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.config(default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}", conn_max_age=600)
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # The server and `sso_sync` write to the same file: readers must not wait, and writers must queue.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # serves the few files from where they are, without collectstatic

# This site is behind a TLS proxy if the portal is. Without TLS it works only under *.localhost, where
# browsers accept Secure cookies over plain HTTP.
HTTPS = os.environ.get("SSO_DSN", "").startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^sso/health/$"]  # load balancers use plain HTTP
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
CSRF_COOKIE_NAME, CSRF_COOKIE_SECURE = "__Host-csrf", True
CSRF_COOKIE_SAMESITE = "Lax"

# The other sites, for the links at the top of each page: "Shop=https://b.example.com".
PLACES = [place.split("=", 1) for place in os.environ.get("SITE_PLACES", "").split() if "=" in place]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
}
