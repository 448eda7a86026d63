"""``manage.py sso_site acl --check``: what each site's Redis user may do, according to ``ACL DRYRUN``."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from portal.registry import rights, services
from tests.servers import ValkeyServer

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def site() -> None:
    services.register("site_a", "https://a.sso.localhost")


def change_user(valkey: ValkeyServer, *rules: str) -> None:
    valkey.admin.execute_command("ACL SETUSER", "sso-site_a", *rules)


def run_check() -> str:
    out = StringIO()
    call_command("sso_site", "acl", "--check", stdout=out)
    return out.getvalue()


def test_a_user_that_the_portal_has_set_is_as_it_should_be() -> None:
    services.register("site_b", "https://b.sso.localhost")

    assert run_check() == "site_a\tok\nsite_b\tok\n"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("-hgetall", "missing: read its own sessions"),
        ("-evalsha", "missing: run scripts on its own sessions"),
        ("-ping", "missing: connect"),
        ("clearselectors", "missing: end a session"),
        ("clearselectors", "missing: read the events"),
        ("resetkeys", "missing: read identity records"),
        ("+keys", "excessive: list keys"),
        ("+@admin", "excessive: read or change the Redis users"),
        ("+flushall", "excessive: delete all keys"),
        ("~sso:{*}:identity", "excessive: run scripts on identity records"),
        ("~sso:{*}:site:site_a*", "excessive: read other sites' sessions"),
        ("~sso:anon:*", "excessive: write other sites' sessions"),
        ("~sso:nonce:*", "excessive: read the portal's keys"),
        ("~*", "excessive: write other namespaces"),
        ("(~sso:events +xtrim)", "excessive: delete events"),
    ],
)
def test_a_user_with_other_rights_is_reported(valkey: ValkeyServer, rule: str, problem: str) -> None:
    change_user(valkey, rule)

    assert problem in rights.check("site_a")


def test_a_right_of_another_kind_is_not_reported(valkey: ValkeyServer) -> None:
    change_user(valkey, "-hgetall")

    assert rights.check("site_a") == [
        "missing: read its own sessions",
        "missing: read its own anonymous sessions",
    ]


def test_a_user_that_does_not_exist_is_reported(valkey: ValkeyServer) -> None:
    valkey.admin.acl_deluser("sso-site_a")

    assert rights.check("site_a") == ["no Redis user sso-site_a"]


@pytest.mark.parametrize(
    ("rule", "problem"), [("off", "disabled"), ("nopass", "excessive: connect without a password")]
)
def test_a_user_that_is_off_or_open_to_all_is_reported(valkey: ValkeyServer, rule: str, problem: str) -> None:
    change_user(valkey, rule)

    assert rights.check("site_a") == [problem]


def test_the_command_reports_one_line_a_site_and_fails(
    valkey: ValkeyServer,
) -> None:
    services.register("site_b", "https://b.sso.localhost")
    change_user(valkey, "+keys")
    out = StringIO()

    with pytest.raises(CommandError, match="sso_site acl") as caught:
        call_command("sso_site", "acl", "--check", stdout=out)

    assert caught.value.returncode == 1
    assert out.getvalue().splitlines() == [
        "site_a\texcessive: list keys",
        "site_b\tok",
    ]


def test_check_changes_nothing(valkey: ValkeyServer) -> None:
    change_user(valkey, "+flushall", "+shutdown", "+acl", "~*")
    users, keys = valkey.admin.acl_list(), valkey.admin.keys("*")

    rights.check("site_a")

    assert valkey.admin.acl_list() == users
    assert valkey.admin.keys("*") == keys
