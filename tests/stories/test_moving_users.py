"""A site's own users move to the portal with their passwords, as docs/moving-existing-users.md says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from demo.options import ROOT
from tests.stories.people import Person, Visitor
from tests.stories.shell import Shell

PAGE = ROOT / "docs" / "moving-existing-users.md"


def commands(folder: Path) -> list[tuple[str, list[str]]]:
    """The commands of the page in order: (project, arguments). Files are in ``folder``."""
    block = re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
    project, found = "", []
    for line in block.splitlines():
        if line.startswith("#"):
            project = "site_a" if line.endswith("at the site") else "portal"
        else:
            words = shlex.split(line.removeprefix("python manage.py "))
            found.append(
                (
                    project,
                    [str(folder / word) if word.endswith((".csv", ".jsonl")) else word for word in words],
                )
            )
    return found


def test_person_signs_in_with_the_old_password_and_meets_their_own_data(
    visitor: Visitor, shell: Callable[[str], Shell], tmp_path: Path
) -> None:
    topology = visitor.topology
    topology.parts["sync_a"].stop()
    site_a, portal = shell("site_a"), shell("portal")
    password = "the old password of Orla"
    site_a(
        """
        User.objects.filter(sso_account=None).delete()
        orla = User.objects.create_user("orla", "Orla@example.com", password, first_name="Orla")
        Note.objects.create(owner=orla, title="Written before the move")
        for number in range(30):
            User.objects.create(username=f"moved{number}", email=f"moved{number}@example.com")
        """,
        password=password,
    )
    before = site_a("User.objects.get(username='orla').pk")
    hashed = site_a("User.objects.get(username='orla').password")

    for project, arguments in commands(tmp_path):
        topology.manage(project, *arguments)

    assert (tmp_path / "users.jsonl").stat().st_mode & 0o777 == 0o600
    assert portal("User.objects.get(username='orla').password") == hashed
    sub = portal("str(User.objects.get(username='orla').pk)")
    assert site_a("User.objects.get(sso_account=sub).pk", sub=sub) == before
    visitor.sign_in(Person(sub, "orla", "Orla@example.com", "Orla", password=password))
    visitor.open("site_a", "/notes/")
    assert "Written before the move" in visitor.text
    assert portal("User.objects.get(username='orla').password").startswith("argon2")
    assert (
        site_a("User.objects.filter(username__startswith='moved', sso_account__isnull=False).count()") == 30
    )
    assert not site_a("User.objects.get(username='orla').has_usable_password()")


def test_page_runs_each_of_the_commands_that_it_explains() -> None:
    names = {arguments[0] for _, arguments in commands(Path("/"))}

    assert names == {"sso_export", "import_accounts", "sso_link", "sso_sync"}
