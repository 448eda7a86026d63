"""The portal's own settings, with a root secret for tests and a database in memory.

``PORTAL_TEST_DATABASE`` (an address) runs the room on another database.
"""

import os

from tests.servers import VALKEY_URL

os.environ["SSO_ROOT_SECRET"] = "b2YtdGhlLXRlc3RzLW9mLXRoZS10ZXN0cy1vZi10aGUtdGVzdHM"
os.environ["SSO_PORTAL_URL"] = "http://portal.sso.localhost"
os.environ["SSO_DOMAIN"] = "sso.localhost"
os.environ["SSO_REDIS_URL"] = VALKEY_URL
os.environ["DATABASE_URL"] = os.environ.get("PORTAL_TEST_DATABASE", "sqlite://:memory:")

from portal.settings import *  # noqa: F403

ALLOWED_HOSTS = ["portal.sso.localhost", "testserver", "127.0.0.1"]
# Argon2 is slow on purpose. One test asserts that the shipped settings use it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
