"""Sync two users to a site and sign one in, with any user model. Runs as its own process."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402

from sso_common import testing, tokens  # noqa: E402
from sso_common.models import Account  # noqa: E402
from sso_common.snapshot import UserSnapshot, tombstone  # noqa: E402
from sso_common.users import UpsertResult, find_drift, resolve_user, upsert_users  # noqa: E402

User = get_user_model()
ADA, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


def person(sub: uuid.UUID, version: int, name: str) -> UserSnapshot:
    roles = frozenset({"staff", "editor"})
    return UserSnapshot(
        sub=sub, version=version, username=name, email=f"{name}@example.com", first_name="F", roles=roles
    )


def name_of(sub: uuid.UUID) -> str:
    return User._default_manager.get(sso_account__sub=sub).get_username().partition("@")[0]


def changed_at(sub: uuid.UUID) -> Any:
    """The value of a field with ``auto_now``, if the model has one."""
    return getattr(User._default_manager.get(sso_account__sub=sub), "changed_at", None)


def groups_of(sub: uuid.UUID) -> list[str]:
    """The names of a user's groups, of whatever model they are."""
    user = User._default_manager.get(sso_account__sub=sub)
    return sorted(user.groups.values_list("name", flat=True)) if hasattr(user, "groups") else ["Editors"]


def is_privileged(sub: uuid.UUID) -> bool:
    user = User._default_manager.get(sso_account__sub=sub)
    return getattr(user, "is_staff", getattr(user, "is_administrator", True))


def main() -> None:
    call_command("migrate", "auth", verbosity=0)  # MariaDB needs the table of a foreign key first
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("check", "--fail-level", "ERROR")
    names = {each.name for each in User._meta.get_fields()}
    own = User(
        **{key: f"Ada{'@example.com' * (key == 'email')}" for key in ("username", "email") if key in names}
    )
    own.set_password("own")
    own.save()

    if User.__name__ == "Speaker":  # its groups need more than a name
        User._meta.get_field("groups").related_model.objects.create(name="Editors", begins="2030-01-01")

    # A local user already has the name of the first one.
    page = [person(ADA, 1, "ada"), person(BOB, 2, "bob")]
    result = upsert_users(page)
    assert (result.created, result.failed) == (2, ()), result
    assert {each.sub for each in result.conflicts} == {ADA}, result
    assert name_of(BOB) == "bob"
    assert (groups_of(ADA), is_privileged(ADA)) == (["Editors"], True)
    assert find_drift(page) == [], find_drift(page)
    assert upsert_users(page) == UpsertResult(unchanged=2)

    # They swap names, are deleted, and come back.
    before = changed_at(ADA)
    page = [person(ADA, 3, "bob"), person(BOB, 4, "carl")]
    assert upsert_users(page).conflicts == ()
    assert changed_at(ADA) is None or changed_at(ADA) > before
    page = [person(ADA, 5, "carl"), person(BOB, 6, "bob")]
    assert upsert_users(page).conflicts == ()
    assert (name_of(ADA), name_of(BOB)) == ("carl", "bob")
    if hasattr(User, "groups"):
        upsert_users([replace(page[0], roles=frozenset(), version=6)])
        assert groups_of(ADA) == []
    graves = [tombstone(ADA, 7), tombstone(BOB, 8)]
    result = upsert_users(graves)
    assert (result.deleted, result.failed) == (2, ()), result
    assert find_drift(graves) == [], find_drift(graves)
    page = [replace(page[0], version=9), replace(page[1], version=10)]
    assert upsert_users(page).updated == 2
    assert find_drift(page) == [], find_drift(page)
    assert User._default_manager.count() == 3

    # A third user signs in.
    identity = testing.make_identity(tokens.mint_token(), "cleo", roles=["staff"])
    user = resolve_user(identity)
    assert user.sso_account.sub == identity.sub
    assert resolve_user(identity).pk == user.pk
    assert not user.has_usable_password()
    assert Account.objects.count() == 3

    own.refresh_from_db()
    assert own.check_password("own")
    assert own.get_username().lower().startswith("ada")


if __name__ == "__main__":
    main()
    print("ok")  # noqa: T201
