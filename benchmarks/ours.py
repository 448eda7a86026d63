"""A site with ``sso_common``: the ten lines of the README and nothing else."""

from sso_common import conf as sso

from .base_settings import *  # noqa: F403
from .base_settings import INSTALLED_APPS, STOCK_CACHE

SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()
INSTALLED_APPS = [*INSTALLED_APPS, "sso_common"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "sso_common.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "sso_common.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "sso_common.backends.SSOBackend",
    "django.contrib.auth.backends.ModelBackend",
]
SESSION_ENGINE = "sso_common.sessions"
SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True
# stores.py measures both session stores in one process. Stock's uses "default".
CACHES = {"default": STOCK_CACHE, "sso": sso.cache()}
LOGIN_URL = "sso:login"
