"""``import_accounts`` imports the users of a site completely or not at all, and gives no rights."""

from __future__ import annotations

import io
import json
import tracemalloc
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from portal.accounts import importing, versions
from portal.accounts.models import ImportedAccount, User
from portal.audit.models import AuditEvent
from sso_common.exported import ExportedUser, header
from tests.portal.people import PASSWORD, browser, is_signed_in, person, sign_in

HASH = make_password(PASSWORD)


def row(key: str, username: str, **fields: Any) -> ExportedUser:
    known = {
        "email": f"{username.lower()}@example.com",
        "email_verified": True,
        "first_name": username.title(),
        "last_name": "Imported",
        "is_active": True,
        "is_privileged": False,
        "password": HASH,
        "joined": "2020-02-03T04:05:06+00:00",
    }
    return ExportedUser(key=key, username=username, **{**known, **fields})


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., str]:
    def write(*rows: ExportedUser | str, site: str = "notes") -> str:
        path = tmp_path / f"{site}.jsonl"
        lines = [header(site), *(each if isinstance(each, str) else each.to_line() for each in rows)]
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("import_accounts", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def said(*arguments: str) -> str:
    """The output of a run that reports conflicts."""
    out = io.StringIO()
    with pytest.raises(CommandError, match="nothing was imported"):
        call_command("import_accounts", *arguments, stdout=out)
    return out.getvalue()


def test_dry_run_changes_nothing(export: Callable[..., str]) -> None:
    head = versions.head()

    assert run(export(row("1", "ada")))["created"] == 1

    assert not User.objects.exists()
    assert not EmailAddress.objects.exists()
    assert not ImportedAccount.objects.exists()
    assert versions.head() == head


def test_imported_person_signs_in_with_the_old_password_and_is_in_the_feed(
    export: Callable[..., str],
) -> None:
    result = run(export(row("1", "Ada"), row("2", "bob", email_verified=False)), "--apply")

    assert result == {"applied": True, "site": "notes", "created": 2}
    ada, bob = User.objects.order_by("username")
    assert (ada.username, ada.first_name, ada.email_verified, bob.email_verified) == (
        "Ada",
        "Ada",
        True,
        False,
    )
    assert ada.date_joined.year == 2020
    assert [each.version for each in (ada, bob)] == [versions.head() - 1, versions.head()]
    assert list(EmailAddress.objects.order_by("email").values_list("email", "verified", "primary")) == [
        ("ada@example.com", True, True),
        ("bob@example.com", False, True),
    ]
    client = browser()
    sign_in(client, "ada@example.com")
    assert is_signed_in(client)
    event = AuditEvent.objects.get(kind="imported")
    assert (event.site, event.detail) == ("notes", "2 created, 0 merged")


@override_settings(
    PASSWORD_HASHERS=[
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    ]
)
def test_hash_of_another_algorithm_is_upgraded_at_the_first_sign_in(export: Callable[..., str]) -> None:
    old = make_password(PASSWORD, hasher="pbkdf2_sha256")
    run(export(row("1", "ada", password=old)), "--apply")

    client = browser()
    sign_in(client, "ada")

    assert is_signed_in(client)
    assert User.objects.get().password.startswith("scrypt$")


@pytest.mark.parametrize(
    "password", ["", "!", "plain text", "unknown$1$x", "md5$", "pbkdf2_sha256$x$y", "argon2$"]
)
def test_attack_password_that_is_no_hash(export: Callable[..., str], password: str) -> None:
    result = run(export(row("1", "ada", password=password)), "--apply")

    assert (result["created"], result["no-password"]) == (1, 1)
    assert not User.objects.get().has_usable_password()


def test_second_run_changes_nothing(export: Callable[..., str]) -> None:
    person("cleo")
    path = export(row("1", "ada"), row("2", "bob", email_verified=False), row("3", "cleo"))
    run(path, "--apply")
    head, before = versions.head(), set(User.objects.values_list("pk", "version"))

    assert run(path, "--apply") == {"applied": True, "site": "notes", "known": 3}

    assert versions.head() == head
    assert set(User.objects.values_list("pk", "version")) == before


def test_users_of_two_sites_with_one_verified_address_are_one_account(
    export: Callable[..., str], tmp_path: Path
) -> None:
    run(export(row("1", "ada", is_privileged=True)), "--apply")
    result = run(
        export(row("9", "lovelace", email="ADA@example.com", is_active=False), site="shop"),
        "--apply",
        "--pairs",
        str(tmp_path / "pairs.csv"),
    )

    assert (result["merged"], result["inactive"]) == (1, 1)
    user = User.objects.get()
    assert (user.username, user.is_active) == ("ada", True)
    assert (tmp_path / "pairs.csv").read_text().splitlines() == ["id,sub", f"9,{user.pk}"]


@pytest.mark.parametrize(("here", "there"), [(True, False), (False, True), (False, False)])
def test_attack_account_of_an_address_that_one_side_has_not_verified(
    export: Callable[..., str], here: bool, there: bool
) -> None:
    victim = person("ada", email_verified=here)

    text = said(export(row("1", "mallory", email="Ada@example.com", email_verified=there)), "--apply")

    assert "line 2  Ada@example.com  has an address that an account has already" in text
    assert not ImportedAccount.objects.exists()
    assert User.objects.get() == victim


def test_verified_second_address_of_an_account_counts(export: Callable[..., str]) -> None:
    ada = person("ada")
    EmailAddress.objects.create(user=ada, email="second@example.com", verified=True)

    assert run(export(row("1", "other", email="second@example.com")), "--apply")["merged"] == 1

    assert ImportedAccount.objects.get().sub == ada.pk


def test_unverified_address_does_not_become_verified(export: Callable[..., str]) -> None:
    run(export(row("1", "ada", email_verified=False)), "--apply")

    assert not User.objects.get().email_verified
    assert not EmailAddress.objects.get().verified


def test_attack_site_makes_its_staff_superusers_of_the_portal(export: Callable[..., str]) -> None:
    path = export(
        row("1", "root", is_privileged=True)
        .to_line()
        .replace("{", '{"is_superuser": true, "is_staff": true, ')
    )

    assert run(path, "--apply")["rights"] == 1

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


def test_inactive_user_stays_inactive(export: Callable[..., str]) -> None:
    run(export(row("1", "ada", is_active=False)), "--apply")

    assert not User.objects.get().is_active


def test_conflicts_are_reported_by_line_and_nothing_is_imported(export: Callable[..., str]) -> None:
    person("carl")
    path = export(
        row("1", "ada"),
        row("2", "CARL", email="another@example.com"),
        row("3", "ada2", email="ada@example.com"),
        row("4", "none", email=""),
        "not json",
        row("5", "bad name!"),
        row("6", "worse", email="no address"),
        row("7", "time", joined="yesterday"),
        json.dumps({"key": "8"}),
    )

    text = said(path, "--apply")

    for line in (
        "line 3  CARL  has a username that an account has already",
        "line 4  ada@example.com  has the address of another user of this site",
        "line 5  none  has no email address",
        "line 6  not JSON  is not valid",
        "line 7  Enter a valid username",
        "line 8  Enter a valid email address",
        "line 9  The time of joining",
        "line 10  username  is not valid",
        "conflicts: 8",
    ):
        assert line in text
    assert [each.username for each in User.objects.all()] == ["carl"]


def test_operator_may_rename_and_skip(export: Callable[..., str]) -> None:
    person("carl")
    path = export(
        row("1", "carl", email="c1@example.com"),
        row("2", "Carl", email="c2@example.com"),
        row("3", "none", email=""),
    )

    result = run(path, "--apply", "--rename", "--skip-conflicts")

    assert (result["created"], result["renamed"], result["no-address"]) == (2, 2, 1)
    names = sorted(User.objects.values_list("username", flat=True))
    assert names[:2] == ["Carl-" + names[0].removeprefix("Carl-"), "carl"]
    assert "carl-notes" in names


def test_attack_username_that_is_the_address_of_another_account(export: Callable[..., str]) -> None:
    person("carl")
    own = row("1", "ada@example.com", email="ada@example.com")

    text = said(export(own, row("2", "Carl@example.com", email="mallory@example.com")), "--apply")

    assert "line 3  Carl@example.com  has a username" in text
    assert "line 2" not in text


def test_row_that_the_database_refuses_undoes_all(
    export: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = uuid.uuid4()
    monkeypatch.setattr(importing.uuid, "uuid4", lambda: sub)

    with pytest.raises(CommandError, match="nothing was imported"):
        run(export(row("1", "ada"), row("2", "bob")), "--apply")

    assert not User.objects.exists()


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id,username\n1,ada\n")

    with pytest.raises(CommandError, match="sso_export"):
        run(str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        run(str(tmp_path / "missing"))


def test_statements_do_not_grow_with_the_lines_of_a_batch(
    export: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def statements(first: int, count: int) -> int:
        path = export(*(row(str(n), f"u{n}") for n in range(first, first + count)))
        with CaptureQueriesContext(connection) as queries:
            run(path, "--apply")
        return len(queries)

    statements(0, 1)

    assert statements(10, 10) == statements(100, 70)


def test_memory_does_not_grow_with_the_number_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 50)

    def peak(site: str, count: int) -> int:
        path = tmp_path / site
        with path.open("w") as file:
            file.write(header(site) + "\n")
            for number in range(count):
                file.write(row(str(number), f"{site}{number}").to_line() + "\n")
        tracemalloc.start()
        run(str(path))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak("warm", 100)

    # Ten times the lines, which would take ten times the memory; garbage may wait to be collected.
    assert peak("big", 3000) < 4 * peak("small", 300)
