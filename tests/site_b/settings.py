"""The settings of Shop, with a DSN that trusts the tests' key and a database in memory."""

import os

from sso_common.testing import make_dsn
from tests.servers import VALKEY_URL

os.environ["SSO_DSN"] = make_dsn(
    "site_b", VALKEY_URL, domain="sso.localhost", portal_url="http://portal.sso.localhost"
)
os.environ["DATABASE_URL"] = "sqlite://:memory:"
os.environ["SITE_HOSTS"] = "testserver"
os.environ["SITE_PLACES"] = "Notes=http://a.testserver"

from site_b.settings import *  # noqa: F403
