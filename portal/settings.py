"""Settings of the portal.

Required environment variables: ``SSO_ROOT_SECRET`` (base64url of at least 32 random bytes),
``SSO_PORTAL_URL``, ``SSO_DOMAIN`` and ``SSO_REDIS_URL`` (with the portal's own Redis user and password).

Optional: ``SSO_SITE_REDIS_URL`` (the address of Redis for the sites, if it differs), ``SSO_NAMESPACE``,
``DATABASE_URL``, ``SSO_SIGNING_KEYS``, ``SSO_SIGNING_KEY``, ``SSO_PORTAL_KEYS`` (see ``portal/keys.py``),
``SSO_OPEN_SIGNUP``, ``SSO_CLIENT_IP_HEADER``, ``SSO_AUDIT_DAYS``, ``SSO_SESSIONS_PER_USER``,
``EMAIL_HOST`` (and ``EMAIL_PORT``, ``EMAIL_USE_TLS``, ``EMAIL_HOST_USER``, ``EMAIL_HOST_PASSWORD``),
``EMAIL_FOLDER``, ``DEFAULT_FROM_EMAIL``, ``DJANGO_DEBUG``.
"""

import os
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url

from portal.keys import keyring_from, portal_dsn_from, without_user
from portal.mail import mail_settings
from sso_common import conf as sso
from sso_common.dsn import parse_dsn

BASE_DIR = Path(__file__).resolve().parent
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"

# --- single sign-on ------------------------------------------------------------------------------

SSO_KEYRING = keyring_from(os.environ)
SSO_DSN = str(portal_dsn_from(os.environ, SSO_KEYRING))  # the portal is a site too
SSO_SITE_REDIS_URL = os.environ.get("SSO_SITE_REDIS_URL") or without_user(parse_dsn(SSO_DSN).redis_url)

# In seconds. A session ends when it was not used for the idle timeout, and at the latest at the absolute one.
SSO_IDLE, SSO_ABSOLUTE = 12 * 3600, 7 * 86400
SSO_IDLE_REMEMBERED, SSO_ABSOLUTE_REMEMBERED = 14 * 86400, 90 * 86400

SSO_SESSIONS_PER_USER = int(os.environ.get("SSO_SESSIONS_PER_USER") or 100)  # the oldest end

SSO_AUDIT_DAYS = int(os.environ.get("SSO_AUDIT_DAYS") or 400)  # older events are deleted; 0: never

SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys(SSO_DSN)

PORTAL_URL = urlsplit(parse_dsn(SSO_DSN).portal_url)
HTTPS = PORTAL_URL.scheme == "https"
ALLOWED_HOSTS = [
    PORTAL_URL.hostname or "",
    "127.0.0.1",
    "localhost",
]  # the last two: for sites on this machine

# --- parts ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "portal.accounts",
    "portal.registry",
    "portal.sessions",
    "portal.feed",
    "portal.audit",
    "portal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "sso_common",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.sessions.middleware.PortalSessionMiddleware",  # the only one that sets the SSO cookie
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "sso_common.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "portal.middleware.ContentSecurityPolicyMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
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
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.config(default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}", conn_max_age=600)
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Readers do not wait, and writers queue.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

# The default cache holds rate limits. It is in Redis, so that they apply to all worker processes together.
CACHES = {"sso": sso.cache(SSO_DSN)}
CACHES["default"] = CACHES["sso"] | {"KEY_PREFIX": f"{parse_dsn(SSO_DSN).namespace}:portal-cache"}

# --- sessions and cookies ------------------------------------------------------------------------

SESSION_ENGINE = "portal.sessions.engine"
SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True
CSRF_COOKIE_NAME, CSRF_COOKIE_SECURE = "__Host-csrf", True
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "portal.problems.csrf_failure"

# --- accounts ------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "portal.sessions.backends.PortalBackend",  # the user of a signed-in session
    "portal.accounts.backends.PasswordBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"

ACCOUNT_ADAPTER = "portal.sessions.adapter.PortalAccountAdapter"
ACCOUNT_FORMS = {
    "reset_password": "portal.sessions.forms.PortalRequestResetForm",
    "login": "portal.sessions.forms.PortalLoginForm",
    "change_password": "portal.sessions.forms.PortalChangePasswordForm",
    "set_password": "portal.sessions.forms.PortalSetPasswordForm",
    "reset_password_from_key": "portal.sessions.forms.PortalResetPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # an unlocked screen must not be enough to take over an account
ACCOUNT_CHANGE_EMAIL = True  # one address; the old one stays until the new one is confirmed
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGOUT_REDIRECT_URL = "signed_out"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False  # the other sessions end; see portal/sessions/receivers.py
ACCOUNT_DEFAULT_HTTP_PROTOCOL = PORTAL_URL.scheme
ACCOUNT_USER_DISPLAY = attrgetter("display_name")
ACCOUNT_USERNAME_MIN_LENGTH = 2
SSO_OPEN_SIGNUP = os.environ.get("SSO_OPEN_SIGNUP") == "1"
# Users who sign up must confirm their address first. For users added by an administrator, this is optional.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if SSO_OPEN_SIGNUP else "optional"

# The header in which the outermost proxy passes the client's IP address, and which clients cannot forge (for
# example X-Real-IP). Without it, the address of the connection is used.
ALLAUTH_TRUSTED_CLIENT_IP_HEADER = os.environ.get("SSO_CLIENT_IP_HEADER") or None

DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", f"no-reply@{PORTAL_URL.hostname}")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
globals().update(mail_settings(os.environ))  # their names depend on the version of Django

# --- the rest ------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # serves the files without collectstatic

# TLS ends at a proxy. Plain http is for *.localhost, where browsers accept Secure cookies too.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [
    r"^sso/health/$",
    r"^sso/v1/(users|status)$",
]  # requested by machines over internal http
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "portal": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
