"""Sites and roles: who has access to which site, and the commands for operators."""

from __future__ import annotations

import json
import time
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.contrib.auth import authenticate, get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from portal import keys
from portal.registry import services
from portal.registry.access import access_map, access_maps, roles_by_site
from portal.registry.models import Grant, Role, Site
from sso_common.dsn import Dsn, parse_dsn
from tests.servers import ValkeyServer

from .people import browser, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)

A = "https://a.sso.localhost"


def dsn_in(text: str) -> Dsn:
    """Parse the line that a command printed."""
    return parse_dsn(text.removesuffix("\n"))


def run(*arguments: str) -> tuple[str, str]:
    """Run a command and return its output and its messages."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


# --- access ------------------------------------------------------------------------------------------


def test_access_map_contains_only_sites_that_are_open_to_the_user() -> None:
    anna, ben, gone = person(), person("ben"), person("gone", is_active=False)
    services.register("open", "https://o.sso.localhost", roles={"editor": ""})
    services.register("club", "https://c.sso.localhost", access="members", roles={"member": ""})
    services.register("shut", "https://s.sso.localhost", roles={"member": ""})
    Site.objects.filter(name="shut").update(is_active=False)
    for user in (ben, gone):
        services.give_role(user, "club", "member")
        services.give_role(user, "shut", "member")

    assert access_map(anna) == {"portal": frozenset(), "open": frozenset()}
    assert access_map(ben) == {
        "portal": frozenset(),
        "open": frozenset(),
        "club": frozenset({"member"}),
    }
    assert access_map(gone) == {}


def test_access_maps_takes_two_queries(django_assert_num_queries: Any) -> None:
    people = [person(f"user{number}") for number in range(20)]

    with django_assert_num_queries(2):
        maps = access_maps(people)

    assert len(maps) == 20


def test_role_is_given_once() -> None:
    anna = person()
    services.register("site_a", A, roles={"editor": "Editor"})

    services.give_role(anna, "site_a", "editor")
    services.give_role(anna, "site_a", "editor")
    assert Grant.objects.count() == 1
    Grant.objects.get().delete()

    assert roles_by_site([anna.pk]) == {}
    with pytest.raises(Role.DoesNotExist):
        services.give_role(anna, "site_a", "unknown")


@pytest.mark.parametrize(
    ("name", "origin", "word"),
    [
        ("portal", A, "reserved"),
        ("Site", A, "lower-case letters"),
        ("1site", A, "lower-case letters"),
        ("site:a", A, "lower-case letters"),
        ("x" * 33, A, "32"),
        ("site_a", "https://a.elsewhere.com", "not under the parent domain"),
        ("site_a", "http://portal.sso.localhost", "portal's own address"),
        ("site_a", "a.sso.localhost", "Enter an address"),
        ("taken", "https://new.sso.localhost", "already exists"),
        ("site_a", "https://taken.sso.localhost/", "already exists"),
    ],
)
def test_invalid_site_is_refused_with_a_message(name: str, origin: str, word: str) -> None:
    services.register("taken", "https://taken.sso.localhost")

    with pytest.raises(ValidationError) as caught:
        services.register(name, origin)

    assert word in " ".join(caught.value.messages)
    assert Site.objects.count() == 1


# --- manage.py sso_site -------------------------------------------------------------------------------


def test_adding_a_site_prints_only_its_dsn() -> None:
    out, err = run(
        "sso_site", "add", "site_a", A, "--title", "Notes", "--role", "editor:Editor", "--role", "staff"
    )

    dsn = dsn_in(out)
    assert out.count("\n") == 1
    assert (dsn.site, dsn.domain, dsn.portal_url) == (
        "site_a",
        "sso.localhost",
        "http://portal.sso.localhost",
    )
    assert dsn.public_keys == keys.keyring().public_keys
    assert "@" not in dsn.redis_url
    assert "SSO_DSN" in err
    assert list(Role.objects.values_list("name", "label")) == [("editor", "Editor"), ("staff", "Staff")]


def test_adding_a_site_again_needs_if_missing(valkey: ValkeyServer) -> None:
    first, _ = run("sso_site", "add", "site_a", A)
    with pytest.raises(CommandError, match="already registered"):
        run("sso_site", "add", "site_a", A)
    valkey.admin.acl_deluser("sso-site_a")

    again, said = run("sso_site", "add", "site_a", A, "--if-missing", "--role", "late")

    assert again == first
    assert "already registered" in said
    assert Role.objects.get().name == "late"
    assert "sso-site_a" in valkey.admin.acl_users()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("add", "site_a", "https://a.elsewhere.com"), "not under the parent domain"),
        (("add", "site_a", "nonsense"), "Enter an address"),
        (("add", "UPPER", A), "lower-case letters"),
        (("dsn", "nobody"), "There is no site named 'nobody'. Registered: none."),
        (("rotate", "nobody"), "no site named"),
        (("remove", "nobody"), "no site named"),
    ],
)
def test_sso_site_refuses_in_one_sentence(arguments: tuple[str, ...], word: str) -> None:
    with pytest.raises(CommandError) as caught:
        run("sso_site", *arguments)

    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_registering_without_redis_leaves_no_site(valkey: ValkeyServer) -> None:
    valkey.kill()

    with pytest.raises(CommandError, match="nothing was changed"):
        run("sso_site", "add", "site_a", A)

    assert not Site.objects.exists()


def test_sso_site_rotate_prints_the_new_dsn() -> None:
    old, _ = run("sso_site", "add", "site_a", A)

    both, said = run("sso_site", "rotate", "site_a")
    assert dsn_in(both).secrets[1:] == dsn_in(old).secrets
    assert "--finish" in said
    with pytest.raises(CommandError, match="has not finished"):
        run("sso_site", "rotate", "site_a")
    assert "rotation in progress" in run("sso_site", "list")[0]

    new, _ = run("sso_site", "rotate", "site_a", "--finish")
    assert dsn_in(new).secrets == dsn_in(both).secrets[:1]
    with pytest.raises(CommandError, match="no rotation to finish"):
        run("sso_site", "rotate", "site_a", "--finish")


def test_site_registered_again_has_new_secrets() -> None:
    first, _ = run("sso_site", "add", "site_a", A)
    run("sso_site", "rotate", "site_a")
    second = dsn_in(run("sso_site", "dsn", "site_a")[0])
    run("sso_site", "remove", "site_a")

    third, _ = run("sso_site", "add", "site_a", A)

    assert not set(dsn_in(third).secrets) & {*dsn_in(first).secrets, *second.secrets}


def test_sso_site_acl_restores_lost_redis_users(valkey: ValkeyServer) -> None:
    run("sso_site", "add", "site_a", A)
    valkey.admin.acl_deluser("sso-site_a")

    run("sso_site", "acl")

    assert "sso-site_a" in valkey.admin.acl_users()


# --- manage.py sso_sessions ---------------------------------------------------------------------------


def test_operator_lists_and_ends_sessions() -> None:
    person()
    here, there = browser(), browser()
    sign_in(here)
    sign_in(there)

    listed, _ = run("sso_sessions", "list", "anna@example.com")
    assert {line.partition("\t")[0] for line in listed.splitlines()} == {
        token_of(here).sid,
        token_of(there).sid,
    }
    run("sso_sessions", "revoke", "--sid", token_of(here).sid)
    assert (is_signed_in(here), is_signed_in(there)) == (False, True)
    run("sso_sessions", "revoke", "--person", "anna")

    assert not is_signed_in(there)
    assert run("sso_sessions", "reap")[0] == "2 ended sessions were deleted from Redis.\n"
    # Until a session expires, only its row keeps it ended if an old Redis comes back.
    assert run("sso_sessions", "prune", "--days", "0")[0] == "0 sessions were deleted.\n"
    with time_machine.travel(time.time() + 8 * 86400):
        assert run("sso_sessions", "prune", "--days", "0")[0] == "2 sessions were deleted.\n"


@pytest.mark.parametrize(
    "arguments", [("list", "nobody"), ("revoke", "--sid", "x"), ("revoke", "--person", "nobody")]
)
def test_sso_sessions_refuses_unknown_sessions_and_people(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no"):
        run("sso_sessions", *arguments)


def test_commands_report_an_outage_of_redis(valkey: ValkeyServer) -> None:
    valkey.kill()

    for arguments in (("sso_sessions", "reap"), ("demo_data", f"--site=site_a={A}")):
        with pytest.raises(CommandError, match="Redis"):
            run(*arguments)


# --- manage.py demo_data ------------------------------------------------------------------------------

DEMO = ("demo_data", "--site=site_a=http://a.sso.localhost:8001", "--site=site_b=http://b.sso.localhost:8002")


def test_demo_data_creates_people_who_can_sign_in_and_sites_with_roles() -> None:
    data = json.loads(run(*DEMO, "--json")[0])

    assert [each["username"] for each in data["credentials"]] == ["anna", "ben", "cleo"]
    for each in data["credentials"]:
        user = authenticate(None, username=each["username"], password=each["password"])
        assert user is not None
        assert user.email_verified
    assert {name: parse_dsn(dsn).site for name, dsn in data["sites"].items()} == {
        "site_a": "site_a",
        "site_b": "site_b",
    }
    ben = get_user_model().objects.get(username="ben")
    assert access_map(ben)["site_a"] == {"staff", "editor"}
    assert get_user_model().objects.get(username="cleo").is_superuser


def test_demo_data_can_run_again_and_updates_addresses() -> None:
    first, _ = run(*DEMO)
    get_user_model().objects.filter(username="anna").update(first_name="Renamed")
    Grant.objects.all().delete()

    second, _ = run("demo_data", "--site=site_a=http://a.sso.localhost:9001")

    assert second == first
    assert Site.objects.get(name="site_a").origin == "http://a.sso.localhost:9001"
    assert get_user_model().objects.get(username="anna").first_name == "Renamed"
    assert not Grant.objects.exists()  # changes made in the demo are kept
    assert "demo-password-anna" in first
