"""Real servers for the tests: Valkey, a Valkey cluster, PostgreSQL, and MariaDB.

MariaDB is Debian's package ``mariadb-server``. The other programs come from the package index;
``SSO_TEST_REDIS`` names another server for Valkey, such as /usr/bin/redis-server. Each server has its own
port of 127.0.0.1 and a temporary folder, and ends with the test run, also with one that is killed with -9.
"""

from tests.timing import until

from .cluster import ValkeyCluster, valkey_cluster
from .mariadb import mariadb_server
from .postgres import postgres_server
from .valkey import (
    VALKEY_PASSWORD,
    VALKEY_PORT,
    VALKEY_URL,
    ValkeyServer,
    valkey_server,
    wait_until_replicated,
)

__all__ = [
    "VALKEY_PASSWORD",
    "VALKEY_PORT",
    "VALKEY_URL",
    "ValkeyCluster",
    "ValkeyServer",
    "mariadb_server",
    "postgres_server",
    "until",
    "valkey_cluster",
    "valkey_server",
    "wait_until_replicated",
]
