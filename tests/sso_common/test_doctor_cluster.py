"""The doctor with a cluster: it examines every primary as a site's own Redis user."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.test import override_settings

from sso_common import conf
from sso_common.doctor import Level, redis
from sso_common.doctor.servers import servers as examine_servers
from sso_common.dsn import parse_dsn
from sso_common.testing import make_dsn
from tests.servers import VALKEY_URL, ValkeyCluster, valkey_cluster

from .test_doctor import RULES

CLUSTER_RULES = (*RULES, "+cluster|slots", "+cluster|shards", "+command", "+asking")


@pytest.fixture(scope="module")
def started() -> Iterator[ValkeyCluster]:
    with valkey_cluster() as servers:
        yield servers


@pytest.fixture
def servers(started: ValkeyCluster) -> Iterator[ValkeyCluster]:
    started.clear()
    yield started
    started.ensure_running()


@contextlib.contextmanager
def at_site(servers: ValkeyCluster, *rules: str, single: bool = False) -> Iterator[None]:
    """Use the settings of a site whose user has these rules on every node.

    With ``single``, the DSN names the first node as if it were a single server.
    """
    hosts = servers.url.rpartition("@")[2]
    redis_url = f"redis://127.0.0.1:{servers.primaries()[0].port}" if single else f"redis-cluster://{hosts}"
    dsn = replace(parse_dsn(make_dsn("site_a", VALKEY_URL)), redis_url=redis_url)
    password = hashlib.sha256(dsn.site_keys[0].redis_password.encode()).hexdigest()
    for node in servers.nodes:
        node.admin.execute_command("ACL SETUSER", dsn.redis_user, "reset", "on", f"#{password}", *rules)
    with override_settings(SSO_DSN=str(dsn), CACHES={"sso": conf.cache(str(dsn))}):
        yield


def test_a_healthy_cluster_is_ok(servers: ValkeyCluster) -> None:
    with at_site(servers, *CLUSTER_RULES):
        findings = [*redis.reachable(), *examine_servers(), *redis.user()]

    assert [finding for finding in findings if finding.level is not Level.OK] == []
    assert len([finding for finding in findings if finding.check == "redis.eviction"]) == 3


def test_a_node_that_evicts_is_named(servers: ValkeyCluster) -> None:
    node = servers.primaries()[1]
    node.admin.config_set("maxmemory-policy", "allkeys-lru")
    with at_site(servers, *CLUSTER_RULES):
        [finding] = [each for each in examine_servers() if each.level is Level.FAILURE]
    node.admin.config_set("maxmemory-policy", "noeviction")

    assert finding.check == "redis.eviction"
    assert str(node.port) in finding.message


def test_a_cluster_in_a_dsn_for_a_single_server_is_a_failure(servers: ValkeyCluster) -> None:
    with at_site(servers, *CLUSTER_RULES, single=True):
        finding = next(each for each in examine_servers() if each.check == "redis.role")

    assert finding.level is Level.FAILURE
    assert "redis-cluster://" in finding.fix
