"""Synced users are written for any user model, and never take over local users."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Lower
from django.db.models.signals import post_save, pre_save
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps
from hypothesis import given, settings
from hypothesis import strategies as st

from sso_common import testing, tokens
from sso_common.exceptions import NotAdmitted, SessionRevoked, UserInactive
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot, tombstone
from sso_common.users import (
    UpsertResult,
    UserMapper,
    deactivate_accounts,
    find_drift,
    resolve_user,
    upsert_users,
)
from sso_common.users.mapper import local_values
from sso_common.users.mapping import stored_mappings
from sso_common.users.unique import unique_text_fields
from tests.databases import Worker
from tests.timing import WAIT

pytestmark = pytest.mark.django_db


def person(username: str, version: int = 1, /, **fields: Any) -> UserSnapshot:
    """A snapshot as the feed would send it."""
    known = {"sub": testing.subject(username), "username": username, "email": f"{username}@example.com"}
    return UserSnapshot(version=version, **{**known, **fields})


def local(snapshot: UserSnapshot) -> User:
    """The user of a subject, read from the database."""
    return User.objects.get(sso_account__sub=snapshot.sub)


# --- upsert --------------------------------------------------------------------------------------


def test_new_subject_becomes_a_user_without_password_or_privileges() -> None:
    ada = person("ada", first_name="Ada", last_name="Lovelace", not_before=7)

    result = upsert_users([ada])

    user = local(ada)
    assert (user.username, user.email, user.first_name, user.last_name) == (
        "ada",
        "ada@example.com",
        "Ada",
        "Lovelace",
    )
    assert (user.is_active, user.is_staff, user.is_superuser, user.has_usable_password()) == (
        True,
        False,
        False,
        False,
    )
    account = Account.objects.get()
    assert (account.sub, account.version, account.not_before) == (ada.sub, 1, 7)
    assert result == UpsertResult(created=1)


def test_newer_version_replaces_an_older_one() -> None:
    upsert_users([person("ada")])

    result = upsert_users([person("ada", 2, username="augusta", email="new@example.com")])

    assert (local(person("ada")).username, local(person("ada")).email) == ("augusta", "new@example.com")
    assert result == UpsertResult(updated=1)


@pytest.mark.parametrize("version", [1, 4, 5])
def test_older_or_equal_version_changes_nothing(version: int) -> None:
    upsert_users([person("ada", 5, first_name="New")])

    result = upsert_users([person("ada", version, first_name="Old", is_active=False)])

    assert local(person("ada")).first_name == "New"
    assert result == UpsertResult(unchanged=1)


def test_newer_of_two_versions_in_a_page_wins() -> None:
    upsert_users([person("ada", 2, first_name="New"), person("ada", 1, first_name="Old")])

    assert local(person("ada")).first_name == "New"


@pytest.mark.parametrize("mode", ["repair", "force"])
def test_repair_undoes_local_changes(mode: Any) -> None:
    upsert_users([person("ada")])
    User.objects.update(first_name="Changed", is_active=False, is_staff=True)

    upsert_users([person("ada")], mode=mode)

    user = local(person("ada"))
    assert (user.first_name, user.is_active, user.is_staff) == ("", True, False)


def test_only_force_applies_an_older_version() -> None:
    upsert_users([person("ada", 9, first_name="From the lost future")])

    upsert_users([person("ada", 3)], mode="repair")
    assert local(person("ada")).first_name == "From the lost future"

    upsert_users([person("ada", 3)], mode="force")
    assert (local(person("ada")).first_name, Account.objects.get().version) == ("", 3)


@pytest.mark.parametrize("prepare", ["new", "changed", "unchanged", "deleted"])
def test_query_count_does_not_depend_on_the_size_of_a_page(prepare: str) -> None:
    def page(first: int, size: int) -> list[UserSnapshot]:
        return [person(f"u{number}", roles=frozenset({"editor"})) for number in range(first, first + size)]

    def queries_for(pages: list[UserSnapshot]) -> int:
        if prepare != "new":
            upsert_users(pages)
        match prepare:
            case "changed":
                pages = [
                    replace(each, version=2, first_name="X", username=f"x{each.username}") for each in pages
                ]
            case "deleted":
                pages = [tombstone(each.sub, 2) for each in pages]
        with CaptureQueriesContext(connection) as queries:
            upsert_users(pages)
        return len(queries)

    Group.objects.create(name="Editors")
    FeedCursor.lock()
    stored_mappings([], "default")
    # The number of users that fits into one statement of SQLite.
    assert queries_for(page(0, 2)) == queries_for(page(100, 40)) <= 16


def test_page_is_written_completely_or_not_at_all() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        _upsert_then_fail()

    assert not User.objects.exists()
    assert not Account.objects.exists()


def _upsert_then_fail() -> None:
    upsert_users([person("ada")])
    raise RuntimeError


def test_rejected_user_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    upsert_users([person("carl")])

    def refuse(instance: User, **_: object) -> None:
        if instance.username == "bad":
            raise IntegrityError("a receiver of this site")

    post_save.connect(refuse, sender=User)
    try:
        with caplog.at_level(logging.ERROR, "sso_common"):
            result = upsert_users([person("ada"), person("bad"), person("carl", 2, is_active=False)])
    finally:
        post_save.disconnect(refuse, sender=User)

    assert set(User.objects.values_list("username", "is_active")) == {("ada", True), ("carl", False)}
    assert (result.created, result.updated, result.deactivated) == (1, 1, 1)
    assert [failure.sub for failure in result.failed] == [person("bad").sub]
    assert str(person("bad").sub) in caplog.text


def test_receivers_of_the_site_run_as_after_a_save() -> None:
    saved = []

    def notice(instance: User, created: bool, update_fields: Any, **_: object) -> None:
        assert instance.pk is not None
        saved.append((instance.username, created, update_fields))

    post_save.connect(notice, sender=User)
    try:
        upsert_users([person("ada")])
        upsert_users([person("ada", 2, first_name="Ada")])
        upsert_users([person("ada", 3, first_name="Ada")])
    finally:
        post_save.disconnect(notice, sender=User)

    assert saved == [("ada", True, None), ("ada", False, frozenset({"first_name"}))]


# --- roles ---------------------------------------------------------------------------------------


def test_is_staff_follows_the_mapped_role() -> None:
    upsert_users([person("ada", roles=frozenset({"staff"})), person("bob", roles=frozenset({"admin"}))])
    assert (local(person("ada")).is_staff, local(person("bob")).is_staff) == (True, False)

    upsert_users([person("ada", 2)])
    assert not local(person("ada")).is_staff


def test_mapped_groups_follow_the_roles_and_local_groups_stay() -> None:
    ada = person("ada", roles=frozenset({"editor", "other"}))
    upsert_users([ada])
    own = Group.objects.create(name="Choir")
    local(ada).groups.add(own)
    assert set(local(ada).groups.values_list("name", flat=True)) == {"Editors", "Choir"}

    upsert_users([replace(ada, version=2, roles=frozenset())])

    assert set(local(ada).groups.values_list("name", flat=True)) == {"Choir"}
    assert set(Group.objects.values_list("name", flat=True)) == {"Editors", "Choir"}


def test_attack_role_named_superuser() -> None:
    roles = frozenset({"superuser", "is_superuser", "root", "admin", "staff"})

    upsert_users([person("ada", roles=roles)])

    assert not local(person("ada")).is_superuser


def test_superuser_flag_and_password_of_a_linked_user_never_change() -> None:
    root = User.objects.create_superuser("root", "root@example.com", "local")
    Account.objects.create(sub=testing.subject("root"), user=root, version=0)

    upsert_users([person("root", first_name="R")])
    upsert_users([tombstone(testing.subject("root"), 2)])

    root.refresh_from_db()
    assert root.is_superuser
    assert root.check_password("local")
    assert not root.is_active


# --- conflicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada", "ADA", "Ada"])
def test_attack_portal_user_takes_over_a_local_user_with_the_same_name(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = User.objects.create_superuser(name, "own@example.com", "pw")

    result = upsert_users([person("ada")])

    own.refresh_from_db()
    assert (own.username, own.email, own.is_superuser) == (name, "own@example.com", True)
    user = local(person("ada"))
    assert user != own
    assert user.username == f"ada-{person('ada').sub.hex[:4]}"
    assert [(each.sub, each.field) for each in result.conflicts] == [(person("ada").sub, "username")]
    assert "ada@" not in caplog.text


def test_suffix_never_changes_and_goes_when_the_name_is_free() -> None:
    own = User.objects.create_user("ada")
    upsert_users([person("ada")])
    suffixed = local(person("ada")).username

    upsert_users([person("ada", 2, first_name="X")])
    assert local(person("ada")).username == suffixed

    own.delete()
    upsert_users([person("ada", 3)])
    assert local(person("ada")).username == "ada"


def test_suffix_gets_longer_if_it_is_taken() -> None:
    sub = person("ada").sub
    for name in ("ada", f"ada-{sub.hex[:4]}", f"ada-{sub.hex[:12]}"):
        User.objects.create_user(name)

    upsert_users([person("ada")])

    assert local(person("ada")).username == f"ada-{sub.hex}"


def test_long_name_is_cut_to_make_room_for_the_suffix() -> None:
    name = "x" * 150
    User.objects.create_user(name)

    upsert_users([person("long", username=name), person("longer", username="y" * 200)])

    assert local(person("long")).username == f"{name[:145]}-{person('long').sub.hex[:4]}"
    assert local(person("longer")).username == "y" * 150


@pytest.mark.parametrize("limit", [1, 12, 32, 33, 34])
def test_every_alternative_fits_into_a_short_column(limit: int) -> None:
    field: Any = models.CharField(max_length=limit)

    alternatives = UserMapper().alternatives(field, "adalovelace", person("ada").sub)

    assert {len(each) for each in alternatives} <= set(range(1, limit + 1))
    assert alternatives[-1].endswith(person("ada").sub.hex[-min(limit, 32) :])


def test_address_that_is_too_long_is_left_out_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User._meta.get_field("email"), "max_length", 10)

    upsert_users([person("ada", email="ada@example.com")])

    assert local(person("ada")).email == ""


def test_two_users_can_swap_names_in_one_page() -> None:
    upsert_users([person("ada"), person("bob")])

    result = upsert_users([person("ada", 5, username="bob"), person("bob", 6, username="ada")])

    assert (local(person("ada")).username, local(person("bob")).username) == ("bob", "ada")
    assert result.conflicts == ()


def test_three_users_can_swap_names_over_several_pages() -> None:
    names = ["ada", "bob", "cleo"]
    upsert_users([person(name) for name in names])

    for version, (name, new) in enumerate(zip(names, ["bob", "cleo", "ada"], strict=True), 5):
        upsert_users([person(name, version, username=new)])

    assert [local(person(name)).username for name in names] == ["bob", "cleo", "ada"]


def test_stale_record_does_not_take_a_name_from_its_new_owner() -> None:
    upsert_users([person("ada", 9, username="shared")])

    upsert_users([person("bob", 3, username="shared")], source="identity")

    assert local(person("ada")).username == "shared"
    assert local(person("bob")).username.startswith("shared-")


@given(
    steps=st.lists(
        st.lists(
            st.tuples(st.integers(0, 5), st.sampled_from(["a", "A", "b", "c", "d", "ä"]), st.booleans()),
            min_size=1,
            max_size=6,
        ),
        max_size=5,
    )
)
@settings(max_examples=60)
def test_every_subject_has_one_user_after_any_changes(
    steps: list[list[tuple[int, str, bool]]],
) -> None:
    with transaction.atomic():
        own = User.objects.create_user("A", "own@example.com", "pw")
        version = 0
        latest: dict[uuid.UUID, UserSnapshot] = {}
        for step in steps:
            page = []
            for number, name, deleted in step:
                version += 1
                sub = uuid.UUID(int=number)
                page.append(tombstone(sub, version) if deleted else person(name, version, sub=sub))
            assert upsert_users(page).failed == ()
            latest |= {each.sub: each for each in page}

        own.refresh_from_db()
        assert (own.username, own.is_active) == ("A", True)
        assert find_drift(latest.values()) == []
        names = [name.lower() for name in User.objects.values_list("username", flat=True)]
        assert len(set(names)) == len(names)
        assert Account.objects.exclude(user=own).count() == User.objects.count() - 1
        transaction.set_rollback(True)


# --- deletion ------------------------------------------------------------------------------------


def test_deleted_user_is_blanked_and_keeps_the_primary_key() -> None:
    ada = person("ada", first_name="Ada", roles=frozenset({"staff", "editor"}))
    upsert_users([ada])
    pk = local(ada).pk

    result = upsert_users([tombstone(ada.sub, 2)])

    user = User.objects.get(pk=pk)
    assert (user.username, user.email, user.first_name) == (f"deleted-{ada.sub.hex[:8]}", "", "")
    assert (user.is_active, user.is_staff, user.groups.count()) == (False, False, 0)
    assert result == UpsertResult(deleted=1)


def test_tombstone_of_an_unknown_subject_creates_nothing() -> None:
    result = upsert_users([tombstone(uuid.uuid4(), 1)])

    assert not User.objects.exists()
    assert result == UpsertResult(unchanged=1)


def test_user_who_becomes_visible_again_gets_the_same_row() -> None:
    ada = person("ada")
    upsert_users([ada])
    pk = local(ada).pk
    upsert_users([tombstone(ada.sub, 2)])

    upsert_users([person("ada", 3)])

    user = local(ada)
    assert (user.pk, user.username, user.is_active) == (pk, "ada", True)


@override_settings(SSO_HARD_DELETE=True)
def test_old_record_does_not_bring_back_a_hard_deleted_user() -> None:
    ada = person("ada")
    upsert_users([ada, person("bob")])

    upsert_users([tombstone(ada.sub, 2)])
    upsert_users([ada], source="identity")

    assert set(User.objects.values_list("username", flat=True)) == {"bob"}
    with pytest.raises(UserInactive):
        resolve_user(testing.make_identity(tokens.mint_token(), "ada"))

    upsert_users([person("ada", 3)])
    assert local(ada).is_active


@override_settings(SSO_HARD_DELETE=True)
def test_hard_deletion_blanks_a_user_whom_other_rows_protect(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = person("ada")
    upsert_users([ada])

    def delete(self: User, **_: object) -> None:
        raise models.ProtectedError("invoices", set())

    monkeypatch.setattr(User, "delete", delete)
    upsert_users([tombstone(ada.sub, 2)])

    assert local(ada).username.startswith("deleted-")
    assert "protect" in caplog.text


# --- user models ---------------------------------------------------------------------------------


def test_values_are_cut_to_the_length_of_the_column() -> None:
    with isolate_apps("tests"):

        class Bare(models.Model):
            username = models.CharField(max_length=5)

            class Meta:
                app_label = "tests"

        values = local_values(Bare, _Partial(), person("adalovelace"))

    assert values == {"username": "adalo"}


class _Partial(UserMapper):
    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {"username": snapshot.username}


class Nosy(UserMapper):
    """Sets a field that no mapper may set."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "is_superuser": True}


class Confused(UserMapper):
    """Sets a field that the model does not have."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "shoe_size": 1}


class FullNames(UserMapper):
    """A mapper as a site could write it."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "last_name": snapshot.display_name.upper()}


def test_site_can_use_its_own_mapper() -> None:
    with override_settings(SSO_USER_MAPPER=f"{__name__}.FullNames"):
        upsert_users([person("ada", first_name="Ada", last_name="Lovelace")])

        assert local(person("ada")).last_name == "ADA LOVELACE"
        assert find_drift([person("ada", first_name="Ada", last_name="Lovelace")]) == []


@pytest.mark.parametrize(("mapper", "field"), [("Nosy", "is_superuser"), ("Confused", "shoe_size")])
def test_mapper_cannot_set_privileges_or_unknown_fields(mapper: str, field: str) -> None:
    with (
        override_settings(SSO_USER_MAPPER=f"{__name__}.{mapper}"),
        pytest.raises(ImproperlyConfigured, match=field),
    ):
        upsert_users([person("ada")])

    assert not User.objects.exists()


@isolate_apps("tests")
def test_unique_fields_are_found_by_column_and_by_constraint() -> None:
    class Constrained(models.Model):
        USERNAME_FIELD = "name"
        name = models.CharField(max_length=9)
        email = models.EmailField()
        nick = models.CharField(max_length=9)
        code = models.CharField(max_length=9, unique=True)
        number = models.IntegerField(unique=True)
        first = models.CharField(max_length=9)
        last = models.CharField(max_length=9)

        class Meta:
            app_label = "tests"
            constraints = [
                models.UniqueConstraint(Lower("email"), name="one_email"),
                models.UniqueConstraint(fields=["nick"], name="one_nick"),
                models.UniqueConstraint(fields=["first", "last"], name="one_pair"),
            ]

    assert unique_text_fields(Constrained) == {"name", "email", "nick", "code"}


@pytest.fixture
def unique_email(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make email addresses unique, as a site's model can."""
    monkeypatch.setitem(vars(User._meta.get_field("email")), "unique", True)
    # MariaDB has no index on an expression. Its collation ignores case.
    is_mariadb = connection.vendor == "mysql"
    with connection.cursor() as cursor:
        column = "email" if is_mariadb else "lower(email)"
        cursor.execute(f"CREATE UNIQUE INDEX unique_email ON auth_user ({column})")
    yield
    with connection.cursor() as cursor:
        if is_mariadb:
            cursor.execute("ROLLBACK")  # dropping an index commits
        cursor.execute("DROP INDEX unique_email" + " ON auth_user" * is_mariadb)


@pytest.mark.usefixtures("unique_email")
def test_address_of_a_local_user_is_never_taken_over() -> None:
    own = User.objects.create_user("own", "ADA@example.com")

    result = upsert_users([person("ada")])

    own.refresh_from_db()
    assert own.email == "ADA@example.com"
    assert local(person("ada")).email == f"{person('ada').sub.hex}@sso.invalid"
    assert [each.field for each in result.conflicts] == ["email"]


@pytest.mark.usefixtures("unique_email")
def test_two_deleted_users_can_coexist_with_unique_addresses() -> None:
    upsert_users([person("ada"), person("bob")])

    result = upsert_users([tombstone(person("ada").sub, 2), tombstone(person("bob").sub, 3)])

    assert (result.deleted, result.failed, result.conflicts) == (2, (), ())
    assert {email.partition("@")[2] for email in User.objects.values_list("email", flat=True)} == {
        "sso.invalid"
    }


@pytest.mark.usefixtures("unique_email")
def test_two_users_can_swap_addresses() -> None:
    upsert_users([person("ada"), person("bob")])

    upsert_users([person("ada", 5, email="bob@example.com"), person("bob", 6, email="ada@example.com")])

    assert (local(person("ada")).email, local(person("bob")).email) == ("bob@example.com", "ada@example.com")


# --- a request -----------------------------------------------------------------------------------


def identity(username: str = "ada", **options: Any) -> Any:
    return testing.make_identity(tokens.mint_token(), username, **options)


def test_known_user_costs_one_query(django_assert_num_queries: Any) -> None:
    upsert_users([person("ada")])

    with django_assert_num_queries(1):
        user = resolve_user(identity())
        assert user.username == "ada"
        assert user.sso_account.version == 1


def test_unknown_subject_is_provisioned_from_the_record() -> None:
    user = resolve_user(identity(first_name="Ada", roles=["staff", "editor"]))

    assert (user.username, user.first_name, user.is_staff) == ("ada", "Ada", True)
    assert [group.name for group in user.groups.all()] == ["Editors"]


def test_newer_record_updates_the_user_and_an_older_one_does_not() -> None:
    upsert_users([person("ada", 5, first_name="Five")])

    assert resolve_user(identity(version=6, first_name="Six")).first_name == "Six"
    assert resolve_user(identity(version=4, first_name="Four")).first_name == "Six"


def test_attack_subject_without_access_gets_a_user() -> None:
    with pytest.raises(NotAdmitted):
        resolve_user(identity(sites={"site_b": ["staff"]}))

    assert not User.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda: Account.objects.update(is_active=False),
        lambda: User.objects.update(is_active=False),
        lambda: upsert_users([person("ada", 2, is_active=False)]),
        lambda: upsert_users([tombstone(person("ada").sub, 2)]),
    ],
    ids=["account", "local user", "feed", "tombstone"],
)
def test_inactive_user_is_not_signed_in(change: Callable[[], object]) -> None:
    upsert_users([person("ada")])
    change()

    with pytest.raises(UserInactive):
        resolve_user(identity())


def test_attack_revoked_record_returns_after_a_failover() -> None:
    upsert_users([person("ada", 2, not_before=2_000)])

    with pytest.raises(SessionRevoked):
        resolve_user(identity(auth_time=1_999))

    assert resolve_user(identity(auth_time=2_000)).username == "ada"


def test_locally_deleted_user_is_provisioned_again() -> None:
    first = resolve_user(identity())
    first.delete()

    assert resolve_user(identity()).username == "ada"


# --- concurrency ---------------------------------------------------------------------------------


def test_feed_and_request_can_write_a_new_subject_concurrently(real: str) -> None:
    for attempt in range(5):
        start = threading.Barrier(4)

        def write(source: str, attempt: int = attempt, start: threading.Barrier = start) -> UpsertResult:
            start.wait(WAIT)
            return upsert_users([person(f"ada{attempt}"), person(f"bob{attempt}")], source=source)

        results = [each.result() for each in [Worker(lambda: write("feed")) for _ in range(4)]]

        assert sum(result.created for result in results) == 2
        assert all(not result.failed and not result.conflicts for result in results)
    assert User.objects.count() == Account.objects.count() == 10


def test_newer_of_two_concurrent_versions_stays(real: str) -> None:
    upsert_users([person("ada")])
    for version in range(2, 12, 2):
        start = threading.Barrier(2)

        def write(number: int, start: threading.Barrier = start) -> UpsertResult:
            start.wait(WAIT)
            return upsert_users([person("ada", number, first_name=str(number))])

        for each in [Worker(lambda number=number: write(number)) for number in (version + 1, version)]:
            each.result()

        assert local(person("ada")).first_name == str(version + 1)
        assert Account.objects.get().version == version + 1


def test_concurrent_local_sign_up_with_the_same_name_keeps_it(real: str) -> None:
    start = threading.Barrier(2)

    def register() -> None:
        start.wait(WAIT)
        for number in range(10):
            try:
                get_user_model().objects.create_user(f"u{number}", "own@example.com")
            except IntegrityError:
                continue  # the synced user was first: the form would report that the name is taken

    def sync() -> None:
        start.wait(WAIT)
        for number in range(10):
            assert not upsert_users([person(f"u{number}")]).failed

    for each in (Worker(register), Worker(sync)):
        each.result()

    assert User.objects.exclude(sso_account=None).count() == 10
    assert find_drift([person(f"u{number}") for number in range(10)]) == []


# --- agreement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "kind", "fields"),
    [
        (lambda: User.objects.update(first_name="X"), "differs", ("first_name",)),
        (lambda: User.objects.update(username="x"), "differs", ("username",)),
        (lambda: User.objects.update(is_active=False), "differs", ("is_active",)),
        (lambda: User.objects.update(is_staff=True), "differs", ("is_staff",)),
        (lambda: Group.objects.get().user_set.set([]), "differs", ("groups",)),
        (lambda: Account.objects.update(not_before=1), "differs", ("account",)),
        (lambda: Account.objects.update(is_active=False), "differs", ("account",)),
        (lambda: Account.objects.update(version=2), "behind", ()),
        (lambda: Account.objects.update(version=9), "ahead", ()),
        (lambda: User.objects.all().delete(), "missing", ()),
    ],
)
def test_every_kind_of_drift_is_found(
    damage: Callable[[], object], kind: str, fields: tuple[str, ...]
) -> None:
    ada = person("ada", 5, roles=frozenset({"editor"}))
    upsert_users([ada])
    assert find_drift([ada]) == []

    damage()

    [drift] = find_drift([ada])
    assert (drift.sub, drift.kind, drift.fields) == (ada.sub, kind, fields)


def test_suffixed_name_is_not_drift() -> None:
    User.objects.create_user("ada")
    upsert_users([person("ada")])

    assert find_drift([person("ada")]) == []


def test_feed_cursor_has_one_row() -> None:
    FeedCursor.lock()
    FeedCursor.lock()

    assert FeedCursor.objects.count() == 1
    assert FeedCursor(position=3, head=10).lag == 7


# --- what Model.save would do --------------------------------------------------------------------


def test_deactivation_of_missing_users_sends_signals() -> None:
    upsert_users([person("ada")])
    seen: list[tuple[str, bool]] = []

    def receiver(instance: Any, **_: Any) -> None:
        seen.append((instance.username, instance.is_active))

    pre_save.connect(receiver, sender=User)
    post_save.connect(receiver, sender=User)
    try:
        deactivate_accounts([person("ada").sub])
    finally:
        pre_save.disconnect(receiver, sender=User)
        post_save.disconnect(receiver, sender=User)

    assert seen == [("ada", False), ("ada", False)]
    assert User.objects.get().is_active is False


def test_a_receiver_that_fails_keeps_nobody_active() -> None:
    upsert_users([person("ada"), person("ben")])

    def receiver(instance: Any, **_: Any) -> None:
        if instance.username == "ada":
            raise AttributeError("ada has no profile")

    post_save.connect(receiver, sender=User)
    try:
        deactivated = deactivate_accounts([person("ada").sub, person("ben").sub])
    finally:
        post_save.disconnect(receiver, sender=User)

    assert deactivated == 2
    assert not User.objects.filter(is_active=True).exists()
    assert not Account.objects.filter(is_active=True).exists()


def test_new_account_is_written_once() -> None:
    table = Account._meta.db_table

    with CaptureQueriesContext(connection) as captured:
        upsert_users([person("anna"), person("ben")])

    writes = [each["sql"] for each in captured if each["sql"].startswith(("INSERT", "UPDATE"))]
    assert len([sql for sql in writes if table in sql.partition("(")[0]]) == 1
