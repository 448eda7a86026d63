"""The hand-made solution: all subdomains share SECRET_KEY, session cache, user table and session cookie."""

import os

from .base_settings import *  # noqa: F403
from .base_settings import STOCK_CACHE

SECRET_KEY = os.environ["BENCH_SHARED_SECRET_KEY"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
SESSION_COOKIE_DOMAIN = ".example.com"
SESSION_COOKIE_SECURE = True
CACHES = {"default": STOCK_CACHE}
