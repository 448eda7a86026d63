"""``sso_export`` writes the site's own users, and keeps their hashes from other users of the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sso_common import testing
from sso_common.exported import parse_header, parse_user
from sso_common.models import Account
from sso_common.users.exporting import export_users, names_of

pytestmark = pytest.mark.django_db


def export(path: Path, *arguments: str) -> list[Any]:
    call_command("sso_export", str(path), *arguments)
    first, *lines = path.read_text().splitlines()
    assert parse_header(first) == "site_a"
    return [parse_user(line) for line in lines]


def test_own_users_are_exported_and_linked_ones_are_not(tmp_path: Path) -> None:
    ada = User.objects.create_user("ada", "ada@example.com", "pw", first_name="Ada", is_staff=True)
    bob = User.objects.create_user("bob", is_active=False)
    linked = User.objects.create_user("linked")
    Account.objects.create(sub=testing.subject("linked"), user=linked, version=1)

    first, second = export(tmp_path / "users.jsonl")

    assert (first.key, first.username, first.email, first.first_name) == (
        str(ada.pk),
        "ada",
        "ada@example.com",
        "Ada",
    )
    assert (first.is_active, first.is_privileged, first.email_verified) == (True, True, False)
    assert first.password == ada.password
    assert (second.key, second.email, second.password, second.is_active) == (str(bob.pk), "", "", False)


def test_attack_other_users_of_the_machine_read_the_hashes(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    export(path)

    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="cannot be created"):
        export(path)


def test_attack_link_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(CommandError, match="cannot be created"):
        export(tmp_path / "link")


def test_operator_says_that_addresses_are_verified_and_leaves_out_hashes(tmp_path: Path) -> None:
    User.objects.create_user("ada", "ada@example.com", "pw")
    User.objects.create_user("bob", "", "pw")

    ada, bob = export(tmp_path / "users.jsonl", "--addresses-are-verified", "--without-passwords")

    assert (ada.email_verified, bob.email_verified, ada.password) == (True, False, "")


def test_queries_do_not_grow_with_the_users_of_a_batch() -> None:
    for number in range(30):
        User.objects.create(username=f"u{number}")

    with CaptureQueriesContext(connection) as queries:
        assert len(list(export_users())) == 30

    assert len(queries) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Ada King Lovelace", ("Ada King", "Lovelace")), ("Ada", ("Ada", "")), ("", ("", "")), (None, ("", ""))],
)
def test_single_name_is_divided(name: str | None, expected: tuple[str, str]) -> None:
    assert names_of(type("Customer", (), {"name": name})()) == expected


@pytest.mark.parametrize("line", ["", "[]", "{}", json.dumps({"key": 1}), "{"])
def test_line_of_something_else_is_refused(line: str) -> None:
    from sso_common.exceptions import MalformedSnapshot

    with pytest.raises(MalformedSnapshot):
        parse_user(line)
