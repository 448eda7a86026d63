"""A change of ``SSO_STAFF_ROLES``, ``SSO_ROLE_GROUPS`` or the mapper reaches users whom the site knows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from sso_common import sync, testing, tokens
from sso_common.follow import follow_feed
from sso_common.models import Account, FeedCursor, Mapping
from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper, current_mapping, find_drift, resolve_user, upsert_users
from sso_common.users.mapping import PAUSE
from tests.servers import ValkeyServer
from tests.sso_common.portal import Portal

pytestmark = pytest.mark.django_db(transaction=True)

NOW = 1_900_000_000


class Renaming(UserMapper):
    """Writes another first name."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "first_name": "Renamed"}


class RootsAreSuperusers(UserMapper):
    """Gives a privilege of its own."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        user.is_superuser = "root" in roles


class SetsPassword(UserMapper):
    """Does what is not allowed."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        user.password = "known"


class Failing(UserMapper):
    """Rejects one user."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        if user.username == "u3":
            raise ValueError("rejected")


@pytest.fixture
def portal() -> Iterator[Portal]:
    double = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=double.url, SSO_FEED_PAGE=2):
        yield double
    double.close()


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def visit(*roles: str, version: int = 1) -> User:
    """Resolve Ada, as a request does."""
    return resolve_user(
        testing.make_identity(tokens.mint_token(), "ada", roles=list(roles), version=version, auth_time=NOW)
    )


def groups() -> set[str]:
    return set(Group.objects.filter(user__username="ada").values_list("name", flat=True))


def later(clock: Any) -> None:
    clock.shift(PAUSE)


# --- at the next visit -----------------------------------------------------------------------------


def test_a_new_staff_role_opens_the_admin_at_the_next_visit(clock: Any) -> None:
    assert not visit("boss").is_staff
    later(clock)

    with override_settings(SSO_STAFF_ROLES=["boss"]):
        assert visit("boss").is_staff


def test_attack_staff_role_that_the_configuration_has_withdrawn(clock: Any) -> None:
    assert visit("staff").is_staff
    later(clock)

    with override_settings(SSO_STAFF_ROLES=[]):
        assert not visit("staff").is_staff


def test_a_new_group_is_joined_and_a_withdrawn_one_is_left(clock: Any) -> None:
    visit("editor", "author")
    User.objects.get(username="ada").groups.add(Group.objects.create(name="Choir"))
    later(clock)

    with override_settings(SSO_ROLE_GROUPS={"author": "Authors"}):
        visit("editor", "author")

        assert groups() == {"Authors", "Choir"}


def test_attack_the_last_group_is_withdrawn(clock: Any) -> None:
    visit("editor")
    later(clock)

    with override_settings(SSO_ROLE_GROUPS={}):
        visit("editor")

        assert groups() == set()


def test_a_withdrawn_group_can_be_given_by_hand_afterwards(clock: Any) -> None:
    visit("editor")
    later(clock)

    with override_settings(SSO_ROLE_GROUPS={}):
        visit("editor")
        User.objects.get(username="ada").groups.add(Group.objects.get(name="Editors"))
        visit(version=2)

        assert groups() == {"Editors"}


def test_another_mapper_is_applied_and_what_the_former_gave_is_withdrawn(clock: Any) -> None:
    with override_settings(SSO_USER_MAPPER=f"{__name__}.RootsAreSuperusers"):
        assert visit("root").is_superuser
        assert not visit("root").is_staff
    later(clock)

    with override_settings(SSO_USER_MAPPER=f"{__name__}.Renaming"):
        user = visit("root")

    assert (user.first_name, user.is_superuser) == ("Renamed", False)


def test_attack_is_staff_stays_when_a_mapper_no_longer_sets_it(clock: Any) -> None:
    assert visit("staff").is_staff
    later(clock)

    with override_settings(SSO_USER_MAPPER=f"{__name__}.RootsAreSuperusers"):
        assert not visit("staff").is_staff


def test_the_source_and_the_version_of_a_mapper_are_part_of_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with override_settings(SSO_USER_MAPPER=f"{__name__}.Renaming"):
        before = current_mapping().fingerprint
        current_mapping.cache_clear()
        assert current_mapping().fingerprint == before

        monkeypatch.setattr(Renaming, "version", 2, raising=False)
        current_mapping.cache_clear()
        raised = current_mapping().fingerprint
        monkeypatch.setattr("inspect.getsource", lambda each: f"changed {each}")
        current_mapping.cache_clear()
        changed = current_mapping().fingerprint
    current_mapping.cache_clear()

    assert len({before, raised, changed}) == 3


def test_the_record_of_an_older_version_is_not_applied_with_a_new_mapping(clock: Any) -> None:
    visit("staff", version=1)
    upsert_users([snapshot("ada", 2, first_name="Newer")])
    later(clock)

    with override_settings(SSO_STAFF_ROLES=["other"]), CaptureQueriesContext(connection) as queries:
        user = visit("staff", version=1)

    assert (user.first_name, user.is_staff) == ("Newer", False)
    assert len(queries) == 1


def test_the_ordinary_visit_costs_one_query_after_the_first(clock: Any) -> None:
    visit("staff")
    later(clock)
    with override_settings(SSO_STAFF_ROLES=["boss"]):
        visit("staff")
        later(clock)

        with CaptureQueriesContext(connection) as queries:
            visit("staff")

    assert len(queries) == 1


def test_request_of_a_user_whom_the_site_knows_is_no_longer_403(client: Client, valkey: ValkeyServer) -> None:
    testing.sign_in(client, "ada", roles=["boss"])
    assert client.get("/admin/").status_code == 403
    Account.objects.update(mapped_at=0)

    with override_settings(SSO_STAFF_ROLES=["boss"]):
        assert client.get("/admin/").status_code == 200


# --- deployments -----------------------------------------------------------------------------------


def test_two_processes_with_different_settings_write_a_user_once_in_a_minute(clock: Any) -> None:
    old, new = ["staff"], ["boss"]
    visit("staff")
    clock.shift(PAUSE)
    written = []

    for number in range(240):  # two visits a second, one to each process
        with (
            override_settings(SSO_STAFF_ROLES=old if number % 2 else new),
            CaptureQueriesContext(connection) as queries,
        ):
            visit("staff")
        written.append(len(queries) > 1)
        clock.shift(0.5)

    assert 1 <= sum(written) <= 2


def test_the_mapping_that_stays_wins_within_a_minute_also_after_a_rollback(clock: Any) -> None:
    visit("staff")
    for roles in (["boss"], ["staff"], ["boss"], ["staff"]):
        later(clock)
        with override_settings(SSO_STAFF_ROLES=roles):
            assert visit("staff").is_staff == (roles == ["staff"])


def test_a_clock_that_was_ahead_does_not_delay_a_mapping_for_long(clock: Any) -> None:
    visit("staff")
    Account.objects.update(mapped_at=NOW + 86400)

    with override_settings(SSO_STAFF_ROLES=[]):
        assert not visit("staff").is_staff


# --- sso_sync --------------------------------------------------------------------------------------


def snapshot(name: str, version: int, **fields: Any) -> UserSnapshot:
    known = {"sub": testing.subject(name), "username": name, "email": f"{name}@example.com"}
    return UserSnapshot(version=version, **{**known, **fields})


def synced(portal: Portal, count: int = 5) -> None:
    for number in range(count):
        portal.put(f"u{number}", roles=frozenset({"staff", "editor"}))
    sync.sync_once()
    sync.sync_mapping()


def staff() -> set[str]:
    return set(User.objects.filter(is_staff=True).values_list("username", flat=True))


def test_sync_applies_a_new_mapping_to_all_users_and_only_once(portal: Portal) -> None:
    synced(portal)
    assert staff() == {"u0", "u1", "u2", "u3", "u4"}

    with override_settings(SSO_STAFF_ROLES=[], SSO_ROLE_GROUPS={"editor": "Writers"}):
        assert sync.verify().drift
        assert sync.sync_mapping().updated == 5
        assert staff() == set()
        assert set(Group.objects.filter(user__isnull=False).values_list("name", flat=True)) == {"Writers"}
        assert sync.verify().drift == ()

        portal.requests.clear()
        assert sync.sync_mapping().updated == 0
        assert portal.requests == []


def test_sync_that_was_killed_continues_with_the_first_user_who_is_left(portal: Portal) -> None:
    synced(portal, 6)

    with override_settings(SSO_STAFF_ROLES=[]):
        portal.before = lambda path: (_ for _ in ()).throw(ConnectionError) if "after=2" in path else None
        with pytest.raises(Exception, match="portal"):
            sync.sync_mapping()
        assert staff() == {"u2", "u3", "u4", "u5"}

        portal.before = lambda path: None
        portal.requests.clear()
        sync.sync_mapping()

        assert staff() == set()
        assert "after=2" in portal.requests[0]


def test_user_whom_the_mapper_rejects_does_not_make_every_run_read_the_whole_feed(portal: Portal) -> None:
    synced(portal)

    with override_settings(SSO_USER_MAPPER=f"{__name__}.Failing"):
        assert len(sync.sync_mapping().failed) == 1
        portal.requests.clear()
        assert sync.sync_mapping().failed == ()

    assert portal.requests == []
    assert staff() == {"u3"}


def test_follower_with_older_settings_does_not_undo_the_newer_ones_at_each_poll(portal: Portal) -> None:
    synced(portal)
    ends = iter([False] * 6)
    old = follow_feed(lambda: next(ends, True))

    def next_poll() -> None:
        portal.put("u0", first_name=str(portal.head))
        next(old)

    next_poll()
    with override_settings(SSO_STAFF_ROLES=[]):
        sync.sync_mapping()
    next_poll()

    assert staff() == {"u0"}, "Only what changed at the portal was written with the older settings."


def test_full_sync_counts_as_applied(portal: Portal) -> None:
    synced(portal)

    with override_settings(SSO_STAFF_ROLES=[]):
        sync.sync_full()

        assert FeedCursor.load().mapping == current_mapping().fingerprint
        assert not Account.objects.exclude(mapping=current_mapping().fingerprint).exists()
    assert Mapping.objects.count() == 2


# --- apply_roles -----------------------------------------------------------------------------------


def test_attack_roles_set_a_password() -> None:
    with (
        override_settings(SSO_USER_MAPPER=f"{__name__}.SetsPassword"),
        pytest.raises(ImproperlyConfigured, match="must not set 'password'"),
    ):
        upsert_users([snapshot("ada", 1)])


def test_what_roles_gave_is_part_of_the_comparison_with_the_portal() -> None:
    with override_settings(SSO_USER_MAPPER=f"{__name__}.RootsAreSuperusers"):
        ada = snapshot("ada", 1, roles=frozenset({"root"}))
        upsert_users([ada])
        assert find_drift([ada]) == []
        User.objects.update(is_superuser=False)

        assert [each.fields for each in find_drift([ada])] == [("is_superuser",)]


def test_deleted_user_keeps_nothing_that_roles_gave() -> None:
    with override_settings(SSO_USER_MAPPER=f"{__name__}.RootsAreSuperusers"):
        upsert_users([snapshot("ada", 1, roles=frozenset({"root"}))])
        upsert_users([snapshot("ada", 2, roles=frozenset({"root"}), deleted=True, is_active=False)])

    assert not User.objects.get().is_superuser
    assert Account.objects.get().sub == uuid.UUID(str(testing.subject("ada")))
