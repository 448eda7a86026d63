"""``sso_role`` grants and withdraws roles; versions and the audit log follow."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from portal.audit.models import AuditEvent
from portal.registry import services
from portal.registry.access import access_map
from portal.registry.models import Grant
from tests.portal.people import person


@pytest.fixture(autouse=True)
def _site() -> None:
    services.register("notes", "http://notes.sso.localhost", roles={"editor": "Editor", "staff": "Staff"})


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("sso_role", *arguments, stdout=out)
    return out.getvalue()


def test_granted_role_reaches_the_site_and_the_audit_log() -> None:
    anna = person()
    version = anna.version

    assert run("grant", "anna", "notes:editor", "notes:staff") == "2 roles granted; 0 were so already.\n"

    anna.refresh_from_db()
    assert access_map(anna)["notes"] == {"editor", "staff"}
    assert anna.version > version
    assert set(AuditEvent.objects.filter(kind="role_given").values_list("sub", "site", "detail")) == {
        (anna.pk, "notes", "editor"),
        (anna.pk, "notes", "staff"),
    }
    assert run("grant", "anna@example.com", "notes:editor") == "0 roles granted; 1 were so already.\n"
    assert run("list", "anna") == f"anna\t{anna.pk}\tnotes:editor\nanna\t{anna.pk}\tnotes:staff\n"


def test_withdrawn_role_is_gone_at_the_site() -> None:
    anna = person()
    run("grant", str(anna.pk), "notes:editor")
    version = type(anna).objects.get().version

    assert run("withdraw", "anna", "notes:editor") == "1 roles withdrawn; 0 were so already.\n"

    anna.refresh_from_db()
    assert access_map(anna)["notes"] == frozenset()
    assert anna.version > version
    assert AuditEvent.objects.filter(kind="role_taken", sub=anna.pk, detail="editor").count() == 1
    assert run("list", "--site", "notes") == ""


def test_file_is_applied_completely_or_not_at_all(tmp_path: Path) -> None:
    person("anna")
    person("ben")
    path = tmp_path / "roles.csv"
    path.write_text("person,role\nanna,notes:editor\nghost,notes:editor\nben,notes:boss\n")

    with pytest.raises(CommandError) as raised:
        run("grant", "--file", str(path))
    assert "3: There is no person named 'ghost'" in str(raised.value)
    assert "4: There is no role 'notes:boss'" in str(raised.value)
    assert not Grant.objects.exists()

    path.write_text("person,role\nanna,notes:editor\nben,notes:editor\n")
    assert run("grant", "--file", str(path)).startswith("2 roles granted")
    assert run("withdraw", "--file", str(path)).startswith("2 roles withdrawn")


@pytest.mark.parametrize("arguments", [("grant",), ("grant", "anna"), ("grant", "anna", "--file", "x")])
def test_command_without_roles_says_what_to_name(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="Name a person and at least one SITE:ROLE"):
        run(*arguments)
