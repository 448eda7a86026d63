"""``manage.py sso_site acl --check``: whether each site's Redis user is as the portal sets it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings

from portal.registry import rights, services
from portal.registry.models import Site
from sso_common import conf
from tests.servers import ValkeyServer


@pytest.fixture(autouse=True)
def site() -> Site:
    return services.register("site_a", "https://a.sso.localhost")


def change_user(valkey: ValkeyServer, *rules: str) -> None:
    valkey.admin.execute_command("ACL SETUSER", "sso-site_a", *rules)


def run_check() -> str:
    out = StringIO()
    call_command("sso_site", "acl", "--check", stdout=out)
    return out.getvalue()


def test_a_user_that_the_portal_has_set_is_as_it_should_be() -> None:
    services.begin_rotation(services.register("site_b", "https://b.sso.localhost"))

    assert run_check() == "site_a\tok\nsite_b\tok\n"


@pytest.mark.parametrize(
    ("rule", "problems"),
    [
        ("off", ["disabled"]),
        ("+keys", ["added: +keys"]),
        ("+@admin", ["added: +@admin"]),
        ("+client|pause", ["added: +client|pause"]),
        ("+cluster|setslot", ["added: +cluster|setslot"]),
        ("&*", ["added: &*"]),
        ("~sso:{*}:identity", ["added: ~sso:{*}:identity", "missing: %R~sso:{*}:identity"]),
        ("~sso:{*}:site:site_a*", ["added: ~sso:{*}:site:site_a*"]),
        ("~sso:anon:portal:*", ["added: ~sso:anon:portal:*"]),
        ("(~sso:events +xtrim)", ["added: (-@all +xtrim ~sso:events)"]),
        ("(%R~sso:user:* +zscan)", ["added: (-@all +zscan %R~sso:user:*)"]),
        (f"#{'5' * 64}", ["added: password #55555555…"]),
    ],
)
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_user_with_other_rules_is_reported(
    site: Site, valkey: ValkeyServer, rule: str, problems: list[str], protocol: int
) -> None:
    change_user(valkey, rule)

    dsn = str(replace(conf.dsn(), redis_url=f"{valkey.url}?protocol={protocol}"))
    with override_settings(SSO_DSN=dsn, CACHES={**settings.CACHES, "sso": conf.cache(dsn)}):
        found = rights.check(site)
    # Valkey 9 and newer say which databases a selector is for.
    assert [problem.replace(" alldbs", "") for problem in found] == problems


def test_a_user_without_a_command_is_reported(site: Site, valkey: ValkeyServer) -> None:
    change_user(valkey, "-hgetall")

    assert "missing: +hgetall" in rights.check(site)


def test_a_user_without_its_selectors_is_reported(site: Site, valkey: ValkeyServer) -> None:
    change_user(valkey, "clearselectors")

    assert ["missing: (" in problem for problem in rights.check(site)] == [True, True]


def test_a_user_without_a_password_is_reported(site: Site, valkey: ValkeyServer) -> None:
    change_user(valkey, "nopass")

    flag, password = rights.check(site)
    assert flag == "added: flag nopass"
    assert password.startswith("missing: password #")


def test_another_order_of_the_same_rules_is_the_same(site: Site, valkey: ValkeyServer) -> None:
    change_user(valkey, "-get", "-hgetall", "+hgetall", "+get")

    assert rights.check(site) == []


def test_a_user_that_does_not_exist_is_reported(site: Site, valkey: ValkeyServer) -> None:
    valkey.admin.acl_deluser("sso-site_a")

    assert rights.check(site) == ["no Redis user sso-site_a"]


def test_a_site_with_a_new_secret_that_redis_has_not_learned_is_reported(site: Site) -> None:
    site.previous_generation, site.generation = site.generation, site.generation + 1

    (problem,) = rights.check(site)
    assert problem.startswith("missing: password #")


def test_the_command_reports_one_line_a_site_and_fails(valkey: ValkeyServer) -> None:
    services.register("site_b", "https://b.sso.localhost")
    change_user(valkey, "+keys")
    out = StringIO()

    with pytest.raises(CommandError, match="sso_site acl") as caught:
        call_command("sso_site", "acl", "--check", stdout=out)

    assert caught.value.returncode == 1
    assert out.getvalue().splitlines() == ["site_a\tadded: +keys", "site_b\tok"]


def test_check_leaves_nothing_behind(site: Site, valkey: ValkeyServer) -> None:
    change_user(valkey, "+flushall", "+shutdown", "+acl", "~*")
    users, keys = valkey.admin.acl_list(), valkey.admin.keys("*")

    rights.check(site)

    assert valkey.admin.acl_list() == users
    assert valkey.admin.keys("*") == keys
