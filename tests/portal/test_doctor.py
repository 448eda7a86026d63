"""``sso_doctor`` at a site, with the Redis user that the portal creates."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.conf import settings
from django.test import override_settings

from portal.registry import acl, services
from portal.registry.dsns import dsn_for
from portal.registry.models import Site
from sso_common import checks, conf
from sso_common.doctor import Level, redis, servers
from sso_common.dsn import Dsn, redis_user
from tests.servers import ValkeyServer


@pytest.fixture
def site() -> Site:
    return services.register("site_a", "https://a.sso.localhost")


@contextlib.contextmanager
def at_site(dsn: Dsn) -> Iterator[None]:
    text = str(dsn)
    with override_settings(SSO_DSN=text, CACHES={**settings.CACHES, "sso": conf.cache(text)}):
        yield


def test_redis_user_set_by_the_portal_is_ok(site: Site) -> None:
    with at_site(dsn_for("site_a")):
        findings = [*redis.reachable(), *servers.servers(), *redis.user()]

    assert [finding for finding in findings if finding.level is not Level.OK] == []
    assert len(findings) == 6


def test_another_sites_redis_user_is_a_warning(site: Site) -> None:
    services.register("site_b", "https://b.sso.localhost")
    other = dsn_for("site_b")

    with at_site(replace(dsn_for("site_a"), redis_url=other.redis_login_url)):
        [finding] = redis.user()

    assert finding.level is Level.WARNING
    assert repr(other.redis_user) in finding.message


def test_lost_redis_user_is_restored_as_the_doctor_says(site: Site, valkey: ValkeyServer) -> None:
    valkey.admin.execute_command("ACL DELUSER", redis_user("sso", "site_a"))
    dsn = dsn_for("site_a")

    with at_site(dsn):
        [before] = redis.reachable()
    acl.set_all_site_users()
    with at_site(dsn):
        [after] = redis.reachable()

    assert before.level is Level.FAILURE
    assert "manage.py sso_site acl" in before.fix
    assert after.level is Level.OK


def test_portal_passes_every_check() -> None:
    found = [message.id for check in checks.CHECKS.values() for message in check()]

    assert found == []
