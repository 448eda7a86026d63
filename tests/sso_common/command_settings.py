"""Settings for commands that a test starts as processes: the plain site, with its database in a file."""

import os

from tests.settings import *  # noqa: F403

SSO_DSN = os.environ["TEST_DSN"]
SSO_PORTAL_INTERNAL_URL = os.environ["TEST_PORTAL_URL"]
SSO_FEED_PAGE = 2
SSO_POLL_INTERVAL = int(os.environ.get("TEST_POLL", "1"))
CACHES["sso"] = sso.cache(SSO_DSN)  # noqa: F405
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["TEST_DATABASE"],
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
