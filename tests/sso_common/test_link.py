"""``sso_link`` links local users to subjects by verified email address only."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import override_settings

from sso_common import sync, testing
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper, link_user
from tests.sso_common.portal import Portal

pytestmark = pytest.mark.django_db


@pytest.fixture
def portal() -> Iterator[Portal]:
    double = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=double.url, SSO_FEED_PAGE=2):
        yield double
    double.close()


def link(*arguments: str) -> dict[str, str]:
    """{username: status}"""
    out = io.StringIO()
    call_command("sso_link", *arguments, "--json", stdout=out)
    return {row["username"]: row["status"] for row in json.loads(out.getvalue())["users"]}


def user(username: str, email: str | None = None, **fields: Any) -> User:
    address = f"{username}@example.com" if email is None else email
    return User.objects.create_user(username, address, "local-pw", **fields)


def test_dry_run_changes_nothing(portal: Portal) -> None:
    portal.put("ada")
    own = user("ada")

    assert link() == {"ada": "link"}

    own.refresh_from_db()
    assert not Account.objects.exists()
    assert own.check_password("local-pw")


def test_linked_user_keeps_the_key_and_loses_the_local_password(
    portal: Portal,
) -> None:
    portal.put("ada.l", email="ada@example.com", first_name="Ada")
    own = user("ada", "ADA@Example.com")

    assert link("--apply") == {"ada": "linked"}

    own.refresh_from_db()
    assert (own.username, own.first_name, own.has_usable_password()) == ("ada.l", "Ada", False)
    assert own.sso_account.sub == testing.subject("ada.l")
    sync.sync_once()
    assert list(User.objects.all()) == [own]
    assert sync.verify().drift == ()


def test_second_run_finds_no_candidates(portal: Portal) -> None:
    portal.put("ada")
    user("ada")
    link("--apply")

    assert link("--apply") == {}


def test_passwords_can_be_kept(portal: Portal) -> None:
    portal.put("ada")
    own = user("ada")

    link("--apply", "--keep-passwords")

    own.refresh_from_db()
    assert own.check_password("local-pw")


def test_attack_unverified_address_at_the_portal(portal: Portal) -> None:
    portal.put("mallory", email="ada@example.com", email_verified=False)
    user("ada")

    assert link("--apply") == {"ada": "unverified"}
    assert not Account.objects.exists()


def test_attack_same_name_with_another_address(portal: Portal) -> None:
    portal.put("ada", email="mallory@example.com")
    user("ada")

    assert link("--apply") == {}


def test_attack_address_that_only_looks_the_same(portal: Portal) -> None:
    portal.put("mallory", email="аda@example.com")  # noqa: RUF001  a Cyrillic letter
    user("ada")

    assert link("--apply") == {}


def test_two_users_with_one_address_are_not_linked(portal: Portal) -> None:
    portal.put("ada")
    user("ada")
    user("ada2", "Ada@example.com")

    assert link("--apply") == {"ada": "ambiguous", "ada2": "ambiguous"}
    assert not Account.objects.exists()


def test_subject_with_a_user_gets_no_second_one(portal: Portal) -> None:
    user("ada")
    portal.put("ada")
    sync.sync_once()

    assert link("--apply") == {"ada": "taken"}


@pytest.mark.parametrize("privilege", ["is_staff", "is_superuser"])
def test_attack_owner_of_a_mailbox_becomes_staff(portal: Portal, privilege: str) -> None:
    portal.put("ada")
    portal.put("bob")
    user("ada", **{privilege: True})
    user("bob", **{privilege: True})

    assert link() == {"ada": "privileged", "bob": "privileged"}
    assert link("--include-staff", "bob") == {"ada": "privileged", "bob": "link"}
    assert link("--include-staff") == {"ada": "link", "bob": "link"}
    assert link("--include-staff", "bob", "--apply") == {"ada": "privileged", "bob": "linked"}


def test_linked_staff_stay_staff_only_with_a_role(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob", roles=frozenset({"staff"}))
    user("ada", is_staff=True)
    user("bob", is_staff=True)

    link("--include-staff", "--apply")

    assert dict(User.objects.values_list("username", "is_staff")) == {"ada": False, "bob": True}


def test_inactive_user_is_not_linked(portal: Portal) -> None:
    portal.put("ada")
    user("ada", is_active=False)

    assert link("--apply") == {"ada": "inactive"}


def test_users_without_address_and_deleted_subjects_are_ignored(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    portal.delete("bob")
    user("ada", "")
    user("bob")

    assert link("--apply") == {}


def test_output_names_each_user_and_the_next_command(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob", email_verified=False)
    user("ada")
    user("bob")
    out = io.StringIO()

    call_command("sso_link", stdout=out)

    assert f"ada  {testing.subject('ada')}  can be linked" in out.getvalue()
    assert "not verified at the portal" in out.getvalue()
    assert "sso_link --apply" in out.getvalue()


def test_failed_link_is_reported_and_rolled_back(portal: Portal) -> None:
    portal.put("ada")
    own = user("ada")
    out = io.StringIO()

    with (
        override_settings(SSO_USER_MAPPER=f"{__name__}.Refusing"),
        pytest.raises(CommandError, match="could not be linked"),
    ):
        call_command("sso_link", "--apply", "--json", stdout=out)

    own.refresh_from_db()
    assert json.loads(out.getvalue())["users"][0]["status"] == "failed"
    assert not Account.objects.exists()
    assert own.check_password("local-pw")


class Refusing(UserMapper):
    """A mapper that rejects all users."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        raise ValueError("rejected")


def test_user_or_subject_cannot_be_linked_twice() -> None:
    ada, bob = user("ada"), user("bob")
    snapshot = UserSnapshot(sub=testing.subject("ada"), version=3, username="ada", email="ada@example.com")
    link_user(ada, snapshot)

    for other in (bob, ada):
        with pytest.raises(ValidationError):
            link_user(other, snapshot)

    assert Account.objects.get().user == ada


def test_command_reports_that_the_portal_is_down() -> None:
    with (
        override_settings(SSO_PORTAL_INTERNAL_URL="http://127.0.0.1:1"),
        pytest.raises(CommandError, match="portal cannot answer"),
    ):
        call_command("sso_link")
