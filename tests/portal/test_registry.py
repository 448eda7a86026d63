"""Sites and roles: who may enter where, and the commands that register and rotate sites."""

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
from portal.registry.models import Grant, Role, Site
from sso_common.dsn import Dsn, parse_dsn
from tests.servers import ValkeyServer

from .people import browser, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)

A = "https://a.sso.localhost"


def dsn_in(text: str) -> Dsn:
    """The DSN that a command printed, alone on its line."""
    return parse_dsn(text.removesuffix("\n"))


def run(*arguments: str) -> tuple[str, str]:
    """Run a command; returns what it printed, and what it said."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


# --- who may enter ------------------------------------------------------------------------------------


def test_entry_is_closed_unless_something_opens_it() -> None:
    anna, ben, gone = person(), person("ben"), person("gone", is_active=False)
    services.register("open", "https://o.sso.localhost", roles={"editor": ""})
    services.register("club", "https://c.sso.localhost", access="members", roles={"member": ""})
    services.register("shut", "https://s.sso.localhost", roles={"member": ""})
    Site.objects.filter(name="shut").update(is_active=False)
    for user in (ben, gone):
        services.grant(user, "club", "member")
        services.grant(user, "shut", "member")

    assert services.entry_map(anna) == {"portal": frozenset(), "open": frozenset()}
    assert services.entry_map(ben) == {
        "portal": frozenset(),
        "open": frozenset(),
        "club": frozenset({"member"}),
    }
    assert services.entry_map(gone) == {}


def test_entry_of_many_people_is_two_queries(django_assert_num_queries: Any) -> None:
    people = [person(f"user{number}") for number in range(20)]

    with django_assert_num_queries(2):
        maps = services.entry_maps(people)

    assert len(maps) == 20


def test_a_role_is_given_once_and_taken_for_good() -> None:
    anna = person()
    services.register("site_a", A, roles={"editor": "Editor"})

    services.grant(anna, "site_a", "editor")
    services.grant(anna, "site_a", "editor")
    assert Grant.objects.count() == 1
    services.withdraw(anna, "site_a", "editor")

    assert services.roles_by_site([anna.pk]) == {}
    with pytest.raises(Role.DoesNotExist):
        services.grant(anna, "site_a", "unknown")


@pytest.mark.parametrize(
    ("name", "origin", "word"),
    [
        ("portal", A, "own name"),
        ("Site", A, "small letters"),
        ("1site", A, "small letters"),
        ("site:a", A, "small letters"),
        ("x" * 33, A, "32"),
        ("site_a", "https://a.elsewhere.com", "not under the parent domain"),
        ("site_a", "http://portal.sso.localhost", "portal's own address"),
        ("site_a", "a.sso.localhost", "looks like"),
        ("taken", "https://new.sso.localhost", "already exists"),
        ("site_a", "https://taken.sso.localhost/", "already exists"),
    ],
)
def test_a_site_that_cannot_be_is_refused_in_words(name: str, origin: str, word: str) -> None:
    services.register("taken", "https://taken.sso.localhost")

    with pytest.raises(ValidationError) as caught:
        services.register(name, origin)

    assert word in " ".join(caught.value.messages)
    assert Site.objects.count() == 1


# --- manage.py sso_site -------------------------------------------------------------------------------


def test_adding_a_site_prints_its_dsn_alone() -> None:
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
    assert dsn.public_keys == keys.public_keys()
    assert "@" not in dsn.redis_url
    assert "SSO_DSN" in err
    assert list(Role.objects.values_list("name", "label")) == [("editor", "Editor"), ("staff", "Staff")]


def test_adding_a_site_twice_is_refused_unless_that_is_fine(valkey: ValkeyServer) -> None:
    first, _ = run("sso_site", "add", "site_a", A)
    with pytest.raises(CommandError, match="registered already"):
        run("sso_site", "add", "site_a", A)
    valkey.admin.acl_deluser("sso-site_a")

    again, said = run("sso_site", "add", "site_a", A, "--if-missing", "--role", "late")

    assert again == first
    assert "registered already" in said
    assert Role.objects.get().name == "late"
    assert "sso-site_a" in valkey.admin.acl_users()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("add", "site_a", "https://a.elsewhere.com"), "not under the parent domain"),
        (("add", "site_a", "nonsense"), "looks like"),
        (("add", "UPPER", A), "small letters"),
        (("dsn", "nobody"), "There is no site named 'nobody'. Registered: none."),
        (("rotate", "nobody"), "no site named"),
        (("remove", "nobody"), "no site named"),
    ],
)
def test_the_site_command_refuses_in_one_sentence(arguments: tuple[str, ...], word: str) -> None:
    with pytest.raises(CommandError) as caught:
        run("sso_site", *arguments)

    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_redis_away_leaves_no_half_registered_site(valkey: ValkeyServer) -> None:
    valkey.kill()

    with pytest.raises(CommandError, match="nothing was changed"):
        run("sso_site", "add", "site_a", A)

    assert not Site.objects.exists()


def test_a_site_rotates_through_its_dsn() -> None:
    old, _ = run("sso_site", "add", "site_a", A)

    both, said = run("sso_site", "rotate", "site_a")
    assert dsn_in(both).secrets[1:] == dsn_in(old).secrets
    assert "--finish" in said
    with pytest.raises(CommandError, match="being rotated already"):
        run("sso_site", "rotate", "site_a")
    assert "being rotated" in run("sso_site", "list")[0]

    new, _ = run("sso_site", "rotate", "site_a", "--finish")
    assert dsn_in(new).secrets == dsn_in(both).secrets[:1]
    with pytest.raises(CommandError, match="not being rotated"):
        run("sso_site", "rotate", "site_a", "--finish")


def test_a_site_that_comes_back_under_its_name_has_new_secrets() -> None:
    first, _ = run("sso_site", "add", "site_a", A)
    run("sso_site", "rotate", "site_a")
    second = dsn_in(run("sso_site", "dsn", "site_a")[0])
    run("sso_site", "remove", "site_a")

    third, _ = run("sso_site", "add", "site_a", A)

    assert not set(dsn_in(third).secrets) & {*dsn_in(first).secrets, *second.secrets}


def test_lost_redis_users_can_be_set_again(valkey: ValkeyServer) -> None:
    run("sso_site", "add", "site_a", A)
    valkey.admin.acl_deluser("sso-site_a")

    run("sso_site", "acl")

    assert "sso-site_a" in valkey.admin.acl_users()


# --- manage.py sso_sessions ---------------------------------------------------------------------------


def test_an_operator_lists_and_ends_sessions() -> None:
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
    assert run("sso_sessions", "reap")[0] == "2 ended sessions are gone from Redis.\n"
    # Until they expire, only their rows keep them ended should an old Redis come back.
    assert run("sso_sessions", "prune", "--days", "0")[0] == "0 sessions are forgotten.\n"
    with time_machine.travel(time.time() + 8 * 86400):
        assert run("sso_sessions", "prune", "--days", "0")[0] == "2 sessions are forgotten.\n"


@pytest.mark.parametrize(
    "arguments", [("list", "nobody"), ("revoke", "--sid", "x"), ("revoke", "--person", "nobody")]
)
def test_the_session_command_refuses_what_is_not_there(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no"):
        run("sso_sessions", *arguments)


def test_commands_say_when_redis_is_away(valkey: ValkeyServer) -> None:
    valkey.kill()

    for arguments in (("sso_sessions", "reap"), ("demo_data", f"--site=site_a={A}")):
        with pytest.raises(CommandError, match="Redis"):
            run(*arguments)


# --- manage.py demo_data ------------------------------------------------------------------------------

DEMO = ("demo_data", "--site=site_a=http://a.sso.localhost:8001", "--site=site_b=http://b.sso.localhost:8002")


def test_the_demo_makes_people_who_can_sign_in_and_sites_with_roles() -> None:
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
    assert services.entry_map(ben)["site_a"] == {"staff", "editor"}
    assert get_user_model().objects.get(username="cleo").is_superuser


def test_the_demo_can_be_prepared_again_and_moves_with_its_ports() -> None:
    first, _ = run(*DEMO)
    get_user_model().objects.filter(username="anna").update(first_name="Renamed")
    Grant.objects.all().delete()

    second, _ = run("demo_data", "--site=site_a=http://a.sso.localhost:9001")

    assert second == first
    assert Site.objects.get(name="site_a").origin == "http://a.sso.localhost:9001"
    assert get_user_model().objects.get(username="anna").first_name == "Renamed"
    assert not Grant.objects.exists()  # what a person changed in the demo stays changed
    assert "demo-password-anna" in first
