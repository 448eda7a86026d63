"""``sso_link`` links local users by verified email address, or as the operator says, and unlinks them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import override_settings

from sso_common import sync, testing, tokens
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper, link_user, resolve_user
from sso_common.users.merging import left_behind, merge_users
from tests.belongings.models import Desk, Drawer, Letter, Profile, Tag, Team, Vote
from tests.databases import real_database
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
    assert "Add --apply to the same command" in out.getvalue()


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


# --- by hand ---------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    """The output of ``sso_link``."""
    out = io.StringIO()
    call_command("sso_link", *arguments, stdout=out)
    return out.getvalue()


def status(*arguments: str) -> list[str]:
    return [row["status"] for row in json.loads(run(*arguments, "--json"))["users"]]


def by_hand(name: str, subject: str, *arguments: str) -> list[str]:
    return status("--user", name, "--subject", str(testing.subject(subject)), *arguments)


def test_one_of_several_users_with_one_address_is_linked_by_hand(portal: Portal) -> None:
    portal.put("ada")
    user("ada")
    own = user("ada2", "ada@example.com")

    assert by_hand("ada2", "ada") == ["link"]
    assert not Account.objects.exists()
    assert by_hand(f"id:{own.pk}", "ada", "--apply") == ["linked"]

    assert Account.objects.get().user == own
    own.refresh_from_db()
    assert not own.has_usable_password()
    assert by_hand(f"id:{own.pk}", "ada", "--apply") == ["same"]


@pytest.mark.parametrize(
    ("name", "subject", "expected"),
    [
        ("root", "bob", "privileged"),
        ("gone", "bob", "inactive"),
        ("ada", "bob", "other"),
        ("carl", "ada", "taken"),
        ("carl", "nobody", "no-subject"),
        ("carl", "deleted", "no-subject"),
    ],
)
def test_link_by_hand_says_why_it_is_not_possible(
    portal: Portal, name: str, subject: str, expected: str
) -> None:
    portal.put("ada")
    sync.sync_once()
    portal.put("bob")
    portal.put("deleted")
    portal.delete("deleted")
    user("carl")
    user("root", is_superuser=True)
    user("gone", is_active=False)

    assert by_hand(name, subject, "--apply") == [expected]
    assert Account.objects.count() == 1


def test_attack_link_of_a_superuser_by_hand_needs_include_staff(portal: Portal) -> None:
    portal.put("ada")
    user("root", is_superuser=True)

    assert by_hand("root", "ada", "--apply") == ["privileged"]
    assert by_hand("root", "ada", "--apply", "--include-staff", "root") == ["linked"]


def test_unknown_user_is_named(portal: Portal) -> None:
    with pytest.raises(CommandError, match="no user 'ghost'"):
        by_hand("ghost", "ada")


# --- pairs -----------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[..., str]:
    def write(header: str, *rows: str) -> str:
        path = tmp_path / "pairs.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return str(path)

    return write


def test_pairs_of_a_file_are_linked(portal: Portal, pairs: Callable[..., str]) -> None:
    names = ["ada", "bob", "carl", "dora", "eve"]
    users = {name: user(f"local-{name}") for name in names}
    for name in names:
        portal.put(name, email=f"{name}@elsewhere.example")
    path = pairs("id,sub", *(f"{users[name].pk},{testing.subject(name)}" for name in names), "999,", "")
    with pytest.raises(CommandError, match="Line 7: '' is not a subject"):
        status("--pairs", path)
    path = pairs(
        "note,id,sub",
        *(f"x,{users[name].pk},{testing.subject(name)}" for name in names),
        f"x,999,{testing.subject('nobody')}",
    )

    assert status("--pairs", path) == ["link"] * 5 + ["no-subject"]
    assert not Account.objects.exists()
    assert status("--pairs", path, "--apply") == ["linked"] * 5 + ["no-subject"]
    assert status("--pairs", path, "--apply") == ["same"] * 5 + ["no-subject"]

    assert {each.user.pk: each.sub for each in Account.objects.all()} == {
        users[name].pk: testing.subject(name) for name in names
    }
    assert set(User.objects.values_list("username", flat=True)) == set(names)
    assert not any(each.has_usable_password() for each in User.objects.all())


def test_pairs_can_name_usernames(portal: Portal, pairs: Callable[..., str]) -> None:
    portal.put("ada")
    user("ada.old")
    path = pairs("username,sub", f"ada.old,{testing.subject('ada')}", f"ghost,{testing.subject('ada2')}")
    portal.put("ada2")

    assert status("--pairs", path, "--apply") == ["linked", "no-user"]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("sub", [], "id,sub or username,sub"),
        ("id,sub", ["1,xyz"], "Line 2: 'xyz' is not a subject"),
        ("id,sub", ["1,00000000-0000-0000-0000-000000000001"] * 2, "Line 3: the user 1 is in line 2, too"),
    ],
)
def test_file_with_mistakes_links_nobody(
    portal: Portal, pairs: Callable[..., str], header: str, rows: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run("--pairs", pairs(header, *rows), "--apply")


def test_pair_that_the_database_rejects_does_not_hold_up_the_others(
    portal: Portal, pairs: Callable[..., str]
) -> None:
    portal.put("ada")
    portal.put("bob")
    path = pairs("id,sub", *(f"{user(f'old-{name}').pk},{testing.subject(name)}" for name in ("ada", "bob")))

    with override_settings(SSO_USER_MAPPER=f"{__name__}.RefusingBob"), pytest.raises(CommandError):
        run("--pairs", path, "--apply")

    assert [each.sub for each in Account.objects.all()] == [testing.subject("ada")]


class RefusingBob(UserMapper):
    """A mapper that rejects one user."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        if snapshot.username == "bob":
            raise ValueError("rejected")
        return super().fields(snapshot)


# --- unlinking -------------------------------------------------------------------------------------


def test_unlinked_user_stays_without_what_roles_gave_and_the_person_gets_a_new_user(portal: Portal) -> None:
    snapshot = portal.put("ada", roles=frozenset({"staff", "editor"}))
    sync.sync_once()
    own = User.objects.get()

    text = run("--unlink", "ada")
    assert "With --apply" in text
    assert Account.objects.exists()
    text = run("--unlink", "ada", "--apply")

    assert "they get a new user" in text
    assert str(snapshot.sub) in text
    own.refresh_from_db()
    assert (own.is_staff, own.is_active, own.has_usable_password()) == (False, True, False)
    assert not own.groups.exists()
    identity = testing.make_identity(tokens.mint_token(), "ada", version=snapshot.version)
    assert resolve_user(identity).username == f"ada-{snapshot.sub.hex[:4]}"


def test_user_who_is_not_linked_cannot_be_unlinked(portal: Portal) -> None:
    user("ada")

    with pytest.raises(CommandError, match="not linked"):
        run("--unlink", "ada", "--apply")


def test_namesake_loses_the_suffix_after_unlinking_and_linking(portal: Portal) -> None:
    own = user("ada")
    portal.put("ada")
    sync.sync_once()
    second = Account.objects.get().user
    assert second.username.startswith("ada-")

    run("--unlink", second.username, "--apply")
    assert by_hand("ada", "ada", "--apply") == ["linked"]

    own.refresh_from_db()
    assert (own.username, own.sso_account.sub) == ("ada", testing.subject("ada"))


# --- merging ---------------------------------------------------------------------------------------


@pytest.fixture
def ada(portal: Portal) -> tuple[User, User]:
    """The second user of Ada, who is linked, and the first one, whose name she should have."""
    own = user("ada")
    portal.put("ada")
    sync.sync_once()
    return Account.objects.get().user, own


def merge(*arguments: str) -> dict[str, Any]:
    return json.loads(run(*arguments, "--json"))


def test_merged_user_has_everything_and_is_linked(portal: Portal, ada: tuple[User, User]) -> None:
    source, target = ada
    other = user("bob")
    both, one = Team.objects.create(leader=source), Team.objects.create()
    both.members.add(source, target)
    one.members.add(source)
    letters = [Letter.objects.create(sender=source, reader=source) for _ in range(3)]
    Letter.objects.create(sender=target, reader=other)
    Profile.objects.create(user=source, text="of the second")
    Vote.objects.create(user=source, about="a")
    Vote.objects.create(user=target, about="b")
    Desk.objects.create(user=source)
    tag = Tag.objects.create(target=source)

    command = ("--merge", source.username, "--into", "ada")
    shown = merge(*command)
    assert not shown["applied"]
    assert Letter.objects.filter(sender=source).count() == 3
    assert merge(*command, "--apply") == {**shown, "applied": True}

    assert shown["moved"]["belongings.Letter.sender"] == 3
    assert shown["shared"] == {"belongings.Team_members.user": 1}
    target.refresh_from_db()
    assert set(User.objects.all()) == {target, other}
    assert (target.username, target.sso_account.sub) == ("ada", testing.subject("ada"))
    assert set(target.teams.all()) == {both, one}
    assert set(target.sent.values_list("pk", flat=True)) >= {each.pk for each in letters}
    both.refresh_from_db()
    tag.refresh_from_db()
    assert (both.leader, tag.target, target.profile.text) == (target, target, "of the second")
    assert target.vote_set.count() == 2
    assert Desk.objects.get().user == target
    assert sync.verify().drift == ()


def test_conflicting_rows_are_reported_and_nothing_is_lost(portal: Portal, ada: tuple[User, User]) -> None:
    source, _ = ada
    for each in ada:
        Profile.objects.create(user=each, text=each.username)
        Vote.objects.create(user=each, about="the same")
    Letter.objects.create(sender=source)
    out = io.StringIO()

    with pytest.raises(CommandError, match="2 conflicts, so nothing was changed"):
        call_command("sso_link", "--merge", source.username, "--into", "ada", "--apply", stdout=out)

    assert "conflict: belongings.Profile.user" in out.getvalue()
    assert "conflict: belongings.Vote.user" in out.getvalue()
    assert (Profile.objects.count(), Vote.objects.count(), User.objects.count()) == (2, 2, 2)
    assert Letter.objects.get().sender == source
    assert Account.objects.get().user == source


def test_rows_that_refer_to_a_moved_primary_key_are_a_conflict(
    portal: Portal, ada: tuple[User, User]
) -> None:
    source, _ = ada
    Drawer.objects.create(desk=Desk.objects.create(user=source))

    with pytest.raises(CommandError, match="conflict"):
        run("--merge", source.username, "--into", "ada", "--apply")

    assert Drawer.objects.get().desk.user == source


def test_user_is_not_deleted_as_long_as_rows_point_to_it() -> None:
    """The last check of a merge, in case that a relation was missed."""
    own, other = user("ada"), user("bob")
    Team.objects.create(leader=own)
    assert left_behind(own, "default") == ["belongings.Team.leader: rows that could not be moved"]
    assert left_behind(other, "default") == []
    letter = Letter.objects.create(sender=other)
    assert left_behind(other, "default") == ["belongings.Letter: rows that could not be moved"]
    letter.reader = other
    letter.save()
    [text] = left_behind(other, "default")
    assert "protected foreign keys" in text


def test_attack_merge_makes_the_person_a_superuser(portal: Portal, ada: tuple[User, User]) -> None:
    source, target = ada
    User.objects.filter(pk=target.pk).update(is_superuser=True)

    with pytest.raises(CommandError, match="include-staff"):
        run("--merge", source.username, "--into", "ada", "--apply")

    User.objects.filter(pk=target.pk).update(is_superuser=False)
    User.objects.filter(pk=source.pk).update(is_superuser=True)
    run("--merge", source.username, "--into", "ada", "--apply")
    target.refresh_from_db()
    assert not target.is_superuser


def test_two_users_of_two_subjects_are_not_merged(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    sync.sync_once()

    with pytest.raises(CommandError, match="different subjects"):
        run("--merge", "ada", "--into", "bob", "--apply")
    with pytest.raises(CommandError, match="one user, not two"):
        run("--merge", "ada", "--into", "ada", "--apply")


def test_two_unlinked_users_with_one_address_are_merged_and_linked(portal: Portal) -> None:
    portal.put("ada")
    first, second = user("ada"), user("ada2", "ada@example.com")
    Letter.objects.create(sender=second)
    subject = str(testing.subject("ada"))

    merge("--merge", "ada2", "--into", "ada", "--subject", subject, "--apply")

    assert User.objects.get() == first
    assert first.sent.count() == 1
    assert str(Account.objects.get().sub) == subject
    first.refresh_from_db()
    assert not first.has_usable_password()


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_users_are_merged_on_postgresql(postgres_url: str) -> None:
    with real_database(postgres_url):
        source, target = user("ada2"), user("ada")
        desk = Desk.objects.create(user=source)
        drawer = Drawer.objects.create(desk=desk)
        Letter.objects.create(sender=source)
        Tag.objects.create(target=source)

        refused = merge_users(source, target, None, apply=True)
        assert len(refused.conflicts) == 1
        source = User.objects.get(username="ada2")
        assert Letter.objects.get().sender == source
        drawer.delete()
        snapshot = UserSnapshot(
            sub=testing.subject("ada"), version=1, username="ada", email="ada@example.com"
        )
        done = merge_users(source, target, snapshot, apply=True)

        assert done.conflicts == []
        assert [each.pk for each in User.objects.all()] == [target.pk]
        assert (Letter.objects.get().sender, Tag.objects.get().target) == (target, target)
        assert Account.objects.get().user == target
