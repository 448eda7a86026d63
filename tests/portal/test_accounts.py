"""Users: every change that a site can see allocates a version, and no other change does."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from portal.accounts import services, versions
from portal.accounts.announcements import sessions_must_end, users_changed
from portal.accounts.models import Tombstone, User
from portal.registry import services as registry
from portal.registry.models import Grant, Role, Site
from sso_common.snapshot import parse_snapshot

Capture = Callable[..., object]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", "pw", email_verified=True, first_name="Ada")


@pytest.fixture
def site() -> Site:
    return registry.register(
        "site_a", "https://a.sso.localhost", roles={"editor": "Editor", "staff": "Staff"}
    )


@pytest.fixture
def heard() -> Iterator[dict[str, list[frozenset[uuid.UUID]]]]:
    """The arguments of the signals that were sent."""
    said: dict[str, list[frozenset[uuid.UUID]]] = {"changed": [], "deleted": [], "ended": []}

    def changed(subs: frozenset[uuid.UUID], deleted: frozenset[uuid.UUID], **_: object) -> None:
        said["changed"].append(subs)
        said["deleted"].append(deleted)

    def ended(subs: frozenset[uuid.UUID], **_: object) -> None:
        said["ended"].append(subs)

    users_changed.connect(changed)
    sessions_must_end.connect(ended)
    yield said
    users_changed.disconnect(changed)
    sessions_must_end.disconnect(ended)


def stored_version(user: User) -> int:
    return User.objects.values_list("version", flat=True).get(pk=user.pk)


# --- ways of writing ---------------------------------------------------------------------------


def _save(user: User) -> None:
    user.last_name = "Lovelace"
    user.save()


def _save_fields(user: User) -> None:
    user.last_name = "Lovelace"
    user.save(update_fields=["last_name"])


def _asave(user: User) -> None:
    user.last_name = "Lovelace"
    async_to_sync(user.asave)()


def _save_expression(user: User) -> None:
    user.last_name = Upper(Value("lovelace"))
    user.save()


def _bulk_update(user: User) -> None:
    user.last_name = "Lovelace"
    User.objects.bulk_update([user], ["last_name"])


def _upsert(user: User) -> None:
    User.objects.bulk_create(
        [User(sub=user.sub, username=user.username, email=user.email, last_name="Lovelace")],
        update_conflicts=True,
        update_fields=["last_name"],
        unique_fields=["sub"],
    )


def _load_fixture(user: User) -> None:
    [row] = json.loads(serializers.serialize("json", [user]))
    row["fields"] |= {"last_name": "Lovelace", "version": 1}
    for each in serializers.deserialize("json", json.dumps([row])):
        each.save()


def _admin(user: User) -> None:
    root = User.objects.create_superuser("root", "root@example.com")
    client = Client(HTTP_HOST="portal.sso.localhost")
    client.force_login(root, "portal.accounts.backends.PasswordBackend")
    form = {"username": user.username, "email": user.email, "last_name": "Lovelace", "is_active": "on"}
    inline = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}
    response = client.post(f"/admin/accounts/user/{user.pk}/change/", form | inline)
    assert response.status_code == 302, response.content


def _email_address(user: User) -> None:
    EmailAddress.objects.get(user=user).delete()


def _allauth_primary(user: User) -> None:
    EmailAddress.objects.create(user=user, email="new@example.com", verified=True).set_as_primary()


WRITES = {
    "save": _save,
    "save(update_fields)": _save_fields,
    "asave": _asave,
    "save of an expression": _save_expression,
    "update": lambda user: User.objects.filter(pk=user.pk).update(last_name="Lovelace"),
    "update by expression": lambda user: User.objects.update(last_name=F("username")),
    "aupdate": lambda user: async_to_sync(User.objects.filter(pk=user.pk).aupdate)(last_name="Lovelace"),
    "update_or_create": lambda user: User.objects.update_or_create(
        username="ada", defaults={"last_name": "Lovelace"}
    ),
    "update through a relation": lambda user: User.objects.filter(emailaddress__verified=True).update(
        last_name="Lovelace"
    ),
    "bulk_update": _bulk_update,
    "bulk_create(update_conflicts)": _upsert,
    "loaddata": _load_fixture,
    "admin": _admin,
    "email address deleted": _email_address,
    "allauth's change of the primary address": _allauth_primary,
    "sign_out_everywhere": services.sign_out_everywhere,
    "assign_new_versions": lambda user: versions.assign_new_versions([user.pk]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_changing_a_user_allocates_a_version(ada: User, write: Callable[[User], object]) -> None:
    before = versions.head()

    write(ada)

    assert stored_version(ada) > before
    assert versions.head() >= stored_version(ada)


CREATIONS: dict[str, Callable[[], object]] = {
    "create_user": lambda: User.objects.create_user("bob", "bob@example.com"),
    "create": lambda: User.objects.create(username="bob", email="bob@example.com"),
    "get_or_create": lambda: User.objects.get_or_create(
        username="bob", defaults={"email": "bob@example.com"}
    ),
    "bulk_create": lambda: User.objects.bulk_create([User(username="bob", email="bob@example.com")]),
    "createsuperuser": lambda: call_command(
        "createsuperuser", username="bob", email="bob@example.com", interactive=False, verbosity=0
    ),
}


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS.keys())
def test_creating_a_user_allocates_a_version(create: Callable[[], object]) -> None:
    before = versions.head()

    create()

    assert User.objects.get(username="bob").version > before


DELETIONS: dict[str, Callable[[User], object]] = {
    "delete": lambda user: user.delete(),
    "adelete": lambda user: async_to_sync(user.adelete)(),
    "QuerySet.delete": lambda user: User.objects.all().delete(),
    "filtered QuerySet.delete": lambda user: User.objects.filter(emailaddress__isnull=False).delete(),
    "raw manager": lambda user: User._base_manager.filter(pk=user.pk).delete(),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS.keys())
def test_deleting_a_user_leaves_a_tombstone(ada: User, delete: Callable[[User], object]) -> None:
    sub, before = ada.pk, versions.head()

    delete(ada)

    assert not User.objects.filter(pk=sub).exists()
    assert Tombstone.objects.get(sub=sub).version > before


ROLE_CHANGES: dict[str, Callable[[User, Site], object]] = {
    "give_role": lambda user, site: registry.give_role(user, "site_a", "staff"),
    "delete": lambda user, site: Grant.objects.get(user=user).delete(),
    "bulk_create": lambda user, site: Grant.objects.bulk_create(
        [Grant(user=user, role=site.roles.get(name="staff"))]
    ),
    "update": lambda user, site: Grant.objects.update(role=site.roles.get(name="staff")),
    "delete the role": lambda user, site: site.roles.get(name="editor").delete(),
    "rename the role": lambda user, site: Role.objects.filter(name="editor").update(name="author"),
    "QuerySet.delete": lambda user, site: Grant.objects.all().delete(),
    "the site's access": lambda user, site: Site.objects.update(access="members"),
}


@pytest.mark.parametrize("change", ROLE_CHANGES.values(), ids=ROLE_CHANGES.keys())
def test_change_of_roles_allocates_a_version(
    ada: User, site: Site, change: Callable[[User, Site], object]
) -> None:
    registry.give_role(ada, "site_a", "editor")
    before = versions.head()

    change(ada, site)

    assert stored_version(ada) > before


QUIET: dict[str, Callable[[User], object]] = {
    "last_login": lambda user: User.objects.filter(pk=user.pk).update(last_login="2026-01-01T00:00:00Z"),
    "save of nothing": lambda user: user.save(),
    "save of the same": lambda user: user.save(update_fields=["first_name", "email"]),
    "password": lambda user: (user.set_password("other"), user.save()),
    "password alone": lambda user: (user.set_password("other"), user.save(update_fields=["password"])),
    "portal staff": lambda user: User.objects.update(is_staff=True),
    "update of nobody": lambda user: User.objects.none().update(first_name="X"),
    "second address": lambda user: EmailAddress.objects.create(user=user, email="b@example.com"),
}


@pytest.mark.parametrize("write", QUIET.values(), ids=QUIET.keys())
def test_write_that_no_site_can_see_allocates_no_version(ada: User, write: Callable[[User], object]) -> None:
    ada.refresh_from_db()
    before = versions.head()

    write(ada)

    assert versions.head() == before
    assert stored_version(ada) == ada.version


def test_bulk_write_gives_every_user_a_different_version() -> None:
    User.objects.bulk_create([User(username=f"u{n}", email=f"u{n}@example.com") for n in range(7)])

    User.objects.update(first_name="Same")

    drawn = list(User.objects.values_list("version", flat=True))
    assert len(set(drawn)) == 7
    assert max(drawn) == versions.head()


@pytest.mark.django_db(transaction=True)
def test_version_cannot_be_allocated_outside_of_a_transaction() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        versions.next_version()


def test_version_cannot_be_set(ada: User) -> None:
    with pytest.raises(ValueError, match="allocated"):
        User.objects.update(version=99)

    ada.version = 99
    ada.save()

    assert stored_version(ada) < 99


def test_lost_counter_starts_after_the_newest_version(ada: User) -> None:
    ada.refresh_from_db()
    versions.VersionCounter.objects.all().delete()

    ada.first_name = "Augusta"
    ada.save()

    assert ada.version == stored_version(ada)
    assert ada.version > 1
    assert versions.head() == ada.version


def test_rolled_back_change_allocates_no_version_and_sends_no_signal(
    ada: User, heard: dict[str, list[object]], django_capture_on_commit_callbacks: Capture
) -> None:
    before = versions.head()

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        User.objects.update(first_name="X")
        transaction.set_rollback(True)

    assert versions.head() == before
    assert heard["changed"] == []


# --- stale copies ------------------------------------------------------------------------------


def test_saving_a_stale_copy_does_not_undo_another_change(ada: User) -> None:
    stale = User.objects.get(pk=ada.pk)
    User.objects.filter(pk=ada.pk).update(is_active=False, first_name="Augusta")

    stale.last_name = "Lovelace"
    stale.save()

    ada.refresh_from_db()
    assert (ada.first_name, ada.last_name, ada.is_active) == ("Augusta", "Lovelace", False)
    assert ada.not_before > 0


def test_saving_a_stale_copy_does_not_resurrect_a_deleted_user(ada: User) -> None:
    stale = User.objects.get(pk=ada.pk)
    ada.delete()

    stale.last_name = "Lovelace"
    with pytest.raises(DatabaseError):
        stale.save()

    assert not User.objects.exists()


def test_saved_change_can_be_changed_back(ada: User) -> None:
    ada.first_name = "Augusta"
    ada.save()
    ada.first_name = "Ada"
    ada.save()

    assert User.objects.get(pk=ada.pk).first_name == "Ada"


def test_refreshed_copy_saves_a_change_back_to_an_older_value(ada: User) -> None:
    User.objects.update(first_name="Augusta")
    ada.refresh_from_db(fields=["first_name"])

    ada.first_name = "Ada"
    ada.save()

    assert User.objects.get(pk=ada.pk).first_name == "Ada"


# --- ending sessions ---------------------------------------------------------------------------

ENDINGS: dict[str, Callable[[User], object]] = {
    "save": lambda user: (setattr(user, "is_active", False), user.save()),
    "save(update_fields)": lambda user: (
        setattr(user, "is_active", False),
        user.save(update_fields=["is_active"]),
    ),
    "update": lambda user: User.objects.update(is_active=False),
    "update by expression": lambda user: User.objects.update(is_active=F("is_staff")),
    "bulk_update": lambda user: (
        setattr(user, "is_active", False),
        User.objects.bulk_update([user], ["is_active"]),
    ),
    "upsert": lambda user: User.objects.bulk_create(
        [User(sub=user.sub, username="ada", email="ada@example.com", is_active=False)],
        update_conflicts=True,
        update_fields=["is_active"],
        unique_fields=["sub"],
    ),
    "sign_out_everywhere": services.sign_out_everywhere,
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_deactivation_ends_all_sessions_and_moves_not_before(
    ada: User,
    end: Callable[[User], object],
    heard: dict[str, list[frozenset[uuid.UUID]]],
    django_capture_on_commit_callbacks: Capture,
) -> None:
    began = int(time.time())
    with django_capture_on_commit_callbacks(execute=True):
        end(ada)

    stored = User.objects.get(pk=ada.pk)
    assert stored.not_before >= began
    assert frozenset({ada.pk}) in heard["ended"]
    assert frozenset({ada.pk}) in heard["changed"]


def test_deletion_ends_all_sessions(
    ada: User, heard: dict[str, list[frozenset[uuid.UUID]]], django_capture_on_commit_callbacks: Capture
) -> None:
    sub = ada.pk
    with django_capture_on_commit_callbacks(execute=True):
        ada.delete()

    assert frozenset({sub}) in heard["deleted"]
    assert frozenset({sub}) in heard["ended"]


def test_not_before_never_moves_back(ada: User) -> None:
    stale = User.objects.get(pk=ada.pk)
    services.sign_out_everywhere(ada)
    moved = ada.not_before

    User.objects.update(not_before=5)
    stale.not_before = 7
    stale.save()

    assert User.objects.get(pk=ada.pk).not_before == moved


def test_second_sign_out_everywhere_in_a_second_ends_sessions_in_between(ada: User) -> None:
    services.sign_out_everywhere(ada)
    in_between = max(int(time.time()), ada.not_before)
    services.sign_out_everywhere(ada)

    assert in_between < ada.not_before


def test_change_of_name_ends_no_session(
    ada: User, heard: dict[str, list[object]], django_capture_on_commit_callbacks: Capture
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        User.objects.update(first_name="X")
        ada.last_name = "Y"
        ada.save()

    assert heard["ended"] == []
    assert len(heard["changed"]) == 2


# --- names and addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("username", "email"), [("ADA", "x@example.com"), ("x", "ADA@example.com"), ("x", "Ada@EXAMPLE.COM")]
)
def test_usernames_and_emails_are_unique_regardless_of_case(ada: User, username: str, email: str) -> None:
    with pytest.raises(IntegrityError):
        User.objects.create(username=username, email=email)


def test_users_are_found_by_username_in_any_case(ada: User) -> None:
    assert User.objects.get_by_natural_key("ADA") == ada


@pytest.mark.parametrize(("username", "email"), [("", "x@example.com"), ("x", "")])
def test_user_needs_a_username_and_an_email_address(username: str, email: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        User.objects.create_user(username, email)


def test_new_user_has_an_address_at_allauth(ada: User) -> None:
    address = EmailAddress.objects.get(user=ada)

    assert (address.email, address.primary, address.verified) == ("ada@example.com", True, True)
    assert ada.email_verified


def test_attack_changed_address_is_not_verified(ada: User) -> None:
    ada.email = "victim@example.com"
    ada.save()
    assert not User.objects.get(pk=ada.pk).email_verified

    User.objects.update(email="ada@example.com")  # her former address was forgotten
    assert not User.objects.get(pk=ada.pk).email_verified

    User.objects.filter(pk=ada.pk).update(email="victim@example.com")
    assert not User.objects.get(pk=ada.pk).email_verified

    EmailAddress.objects.get(user=ada).set_verified()
    assert User.objects.get(pk=ada.pk).email_verified


def test_verification_at_allauth_reaches_the_user_row() -> None:
    bob = User.objects.create_user("bob", "bob@example.com")
    assert not bob.email_verified

    EmailAddress.objects.get(user=bob).set_verified()

    assert User.objects.get(pk=bob.pk).email_verified


# --- administration ----------------------------------------------------------------------------


@pytest.fixture
def as_staff(client: Client) -> Client:
    from django.contrib.auth.models import Permission

    staff = User.objects.create_user("clerk", "clerk@example.com", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client.force_login(staff, "portal.accounts.backends.PasswordBackend")
    client.defaults["HTTP_HOST"] = "portal.sso.localhost"
    return client


def test_attack_staff_make_themselves_superusers(as_staff: Client) -> None:
    clerk = User.objects.get(username="clerk")
    form = {"username": "clerk", "email": clerk.email, "is_active": "on", "is_superuser": "on"}
    inline = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}

    as_staff.post(f"/admin/accounts/user/{clerk.pk}/change/", form | inline)

    assert not User.objects.get(pk=clerk.pk).is_superuser


def test_attack_staff_take_over_a_superuser(as_staff: Client) -> None:
    root = User.objects.create_superuser("root", "root@example.com", "root-pw")
    form = {"username": "root", "email": "clerk2@example.com", "is_active": "on"}

    change = as_staff.post(f"/admin/accounts/user/{root.pk}/change/", form)
    password = as_staff.post(
        f"/admin/accounts/user/{root.pk}/password/", {"password1": "new-pw-123", "password2": "new-pw-123"}
    )

    root.refresh_from_db()
    assert (change.status_code, password.status_code) == (403, 403)
    assert root.email == "root@example.com"
    assert root.check_password("root-pw")


def test_attack_staff_take_over_other_staff(as_staff: Client) -> None:
    boss = User.objects.create_user("boss", "boss@example.com", "boss-pw", is_staff=True)
    url = f"/admin/accounts/user/{boss.pk}"
    form = {"username": "boss", "email": "clerk2@example.com", "is_active": "on"}
    inline = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}

    answers = [
        as_staff.post(f"{url}/change/", form | inline),
        as_staff.post(f"{url}/password/", {"password1": "new-pw-123", "password2": "new-pw-123"}),
        as_staff.post(f"{url}/delete/", {"post": "yes"}),
    ]
    for action in ("deactivate", "sign_out_everywhere", "delete_selected"):
        chosen = {"action": action, "_selected_action": [str(boss.pk)], "post": "yes"}
        as_staff.post("/admin/accounts/user/", chosen)

    boss.refresh_from_db()
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert (boss.email, boss.is_active, boss.not_before) == ("boss@example.com", True, 0)
    assert boss.check_password("boss-pw")


def test_staff_can_change_themselves_and_users_who_are_not_staff(ada: User, as_staff: Client) -> None:
    inline = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}
    for user in (ada, User.objects.get(username="clerk")):
        form = {"username": user.username, "email": f"{user.username}@example.org", "is_active": "on"}

        as_staff.post(f"/admin/accounts/user/{user.pk}/change/", form | inline)

        assert User.objects.get(pk=user.pk).email == f"{user.username}@example.org"


def test_attack_staff_give_a_superuser_an_email_address_of_theirs(as_staff: Client) -> None:
    from django.contrib.auth.models import Permission

    root = User.objects.create_superuser("root", "root@example.com", "root-pw")
    address = EmailAddress.objects.get(user=root)
    clerk = User.objects.get(username="clerk")
    clerk.user_permissions.add(*Permission.objects.filter(content_type__model="emailaddress"))
    form = {"user": str(root.pk), "email": "clerk2@example.com", "verified": "on", "primary": "on"}
    action = {"action": "delete_selected", "_selected_action": str(address.pk), "post": "yes"}

    added = as_staff.post("/admin/account/emailaddress/add/", form)
    changed = as_staff.post(f"/admin/account/emailaddress/{address.pk}/change/", form)
    as_staff.post("/admin/account/emailaddress/", action)

    assert (added.status_code, changed.status_code) == (403, 403)
    assert list(EmailAddress.objects.filter(user=root).values_list("email", flat=True)) == [root.email]


def test_user_created_in_the_admin_has_an_address_at_allauth(as_staff: Client) -> None:
    form = {"username": "new", "email": "New@example.com", "usable_password": "false"}

    response = as_staff.post(
        "/admin/accounts/user/add/", form | {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}
    )

    assert response.status_code == 302, response.content
    assert EmailAddress.objects.get(user__username="new").email == "new@example.com"


def test_admin_actions_change_users(ada: User, as_staff: Client) -> None:
    url = "/admin/accounts/user/"
    as_staff.post(url, {"action": "sign_out_everywhere", "_selected_action": [str(ada.pk)]})
    ada.refresh_from_db()
    assert ada.not_before > 0

    as_staff.post(url, {"action": "deactivate", "_selected_action": [str(ada.pk)]})
    assert not User.objects.get(pk=ada.pk).is_active

    as_staff.post(url, {"action": "activate", "_selected_action": [str(ada.pk)]})
    assert User.objects.get(pk=ada.pk).is_active


# --- snapshots ---------------------------------------------------------------------------------


@given(
    username=st.text(min_size=1, max_size=150),
    first_name=st.text(max_size=150),
    last_name=st.text(max_size=150),
    is_active=st.booleans(),
    not_before=st.integers(0, 2**62),
    roles=st.frozensets(st.from_regex(r"\A[a-z][a-z0-9_-]{0,31}\Z"), max_size=5),
)
def test_every_user_has_a_snapshot_that_sites_accept(
    username: str, first_name: str, last_name: str, is_active: bool, not_before: int, roles: frozenset[str]
) -> None:
    user = User(
        username=username,
        email="x@example.com",
        first_name=first_name,
        last_name=last_name,
        is_active=is_active,
        not_before=not_before,
        version=1,
    )

    snapshot = user.to_snapshot(roles)

    assert parse_snapshot(json.loads(json.dumps(snapshot.to_wire()))) == snapshot


def test_migrations_are_complete(tmp_path: Path) -> None:
    call_command("makemigrations", "accounts", "--check", "--dry-run", verbosity=0)
