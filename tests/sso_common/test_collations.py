"""The database decides which names are equal, and which it can store."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from sso_common import testing, tokens
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot
from sso_common.users import find_drift, resolve_user, upsert_users
from tests.databases import ALIAS

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.parametrize("real", [pytest.param("mariadb", marks=pytest.mark.mariadb)], indirect=True),
]


def person(username: str, version: int = 1, /, **fields: Any) -> UserSnapshot:
    known = {"sub": testing.subject(username), "username": username, "email": f"u{version}@example.com"}
    return UserSnapshot(version=version, **{**known, **fields})


def name_of(snapshot: UserSnapshot) -> str:
    return str(User.objects.get(sso_account__sub=snapshot.sub).username)


@pytest.mark.parametrize(
    ("own", "name"), [("josé", "jose"), ("jose", "JOSÉ"), ("x😀", "x😁"), ("ada", "ada ")]
)
def test_name_that_is_equal_to_a_local_users_gets_a_suffix(real: str, own: str, name: str) -> None:
    User.objects.create_user(own, "own@example.com", "pw")

    user = resolve_user(testing.make_identity(tokens.mint_token(), name))

    assert user.username == f"{name}-{testing.subject(name).hex[:4]}"
    assert find_drift([person(name, 1, email=user.email)]) == []
    assert User.objects.get(username=own).email == "own@example.com"


def test_equal_names_in_one_page_of_the_feed(real: str) -> None:
    page = [person("ada", 1), person("josé", 2), person("jose", 3), person("ben", 4)]

    result = upsert_users(page)

    assert (result.created, result.failed) == (4, ())
    assert [name_of(each) for each in page] == ["ada", "josé", f"jose-{page[2].sub.hex[:4]}", "ben"]
    assert upsert_users(page).unchanged == 4


def test_user_may_drop_the_accent(real: str) -> None:
    upsert_users([person("josé")])

    upsert_users([person("josé", 2, username="jose")])

    assert name_of(person("josé")) == "jose"


def test_two_people_with_equal_names_keep_apart(real: str) -> None:
    first, second = person("josé", 1), person("jose", 5)
    upsert_users([first])

    upsert_users([second])
    upsert_users([person("josé", 6), person("jose", 7)])

    assert (name_of(first), name_of(second)) == ("josé", f"jose-{second.sub.hex[:4]}")


def test_account_of_another_subject_is_never_overwritten(real: str) -> None:
    """MySQL's "insert or update" updates the row of any unique value that is the same."""
    upsert_users([person("ada")])
    ada = Account.objects.get()

    upsert_users([person("ben", 2), person("ada", 3)])

    assert Account.objects.get(sub=ada.sub).user_id == ada.user_id
    assert Account.objects.count() == User.objects.count() == 2


def test_server_without_returning_stores_users_one_by_one(real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL, other than MariaDB, does not return the keys of several new rows."""
    monkeypatch.setattr(type(connections[ALIAS].features), "can_return_rows_from_bulk_insert", False)

    result = upsert_users([person("ada", 1), person("ben", 2)])

    assert (result.created, result.failed) == (2, ())
    assert {name_of(person("ada")), name_of(person("ben"))} == {"ada", "ben"}


def test_name_that_the_character_set_lacks_does_not_hold_up_the_feed(real: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user CONVERT TO CHARACTER SET utf8mb3")

    result = upsert_users([person("ada", 1), person("ben", 2, first_name="😀"), person("cleo", 3)])

    assert [failure.sub for failure in result.failed] == [person("ben").sub]
    assert result.created == 2
