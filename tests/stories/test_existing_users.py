"""Users who exist at a site are never taken over, and are linked only by a verified email address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.stories.people import Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology

LOCAL = 'User.objects.filter(username=username).values("id", "email", "password", "is_superuser").get()'


@pytest.fixture
def site_a(topology: StoryTopology, shell: Callable[[str], Shell]) -> Iterator[Shell]:
    """Site A without a sync, as before ``sso_common`` is installed there."""
    topology.parts["sync_a"].stop()
    yield shell("site_a")
    topology.restart("sync_a")


def test_a_synced_username_that_exists_at_the_site_gets_a_suffix(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    site_a = shell("site_a")
    site_a(
        """
        lena = User.objects.create_superuser("lena", "lena@site-a.example", "a local password")
        Note.objects.create(owner=lena, title="Diary of the local Lena")
        """
    )
    before = site_a(LOCAL, username="lena")

    lena = new_person("Lena", username="Lena", email_verified=True)
    visitor.sign_in(lena)
    visitor.open("site_a", "/you/")

    visitor.topology.eventually(lambda: site_a("Account.objects.filter(sub=sub).exists()", sub=lena.sub))
    assert f"Lena-{lena.sub[:4]}" in visitor.text
    assert site_a(LOCAL, username="lena") == before
    visitor.open("site_a", "/notes/")
    assert "Diary of the local Lena" not in visitor.text
    assert "No notes yet" in visitor.text


def test_sso_link_previews_its_changes_and_then_links_by_verified_email(
    site_a: Shell, visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    otto = new_person("Otto")
    eve = new_person("Eve", email_verified=False)
    root = new_person("Root")
    site_a(
        """
        for name, email in people:
            user = User.objects.create_user("local-" + name, email.upper(), "a local password")
            Note.objects.create(owner=user, title="Old note of " + name)
        User.objects.filter(username="local-root").update(is_superuser=True, is_staff=True)
        """,
        people=[("otto", otto.email), ("eve", eve.email), ("root", root.email)],
    )

    shown = link(visitor.topology)
    linked_before = site_a("Account.objects.filter(user__username__startswith='local-').count()")
    done = link(visitor.topology, "--apply")

    assert (shown["local-otto"], done["local-otto"]) == ("link", "linked")
    assert linked_before == 0, "Without --apply sso_link writes nothing."
    assert done["local-eve"] == "unverified"
    assert done["local-root"] == "privileged"
    visitor.sign_in(otto)
    visitor.open("site_a", "/notes/")
    assert "Old note of otto" in visitor.text
    visitor.sign_out("portal")
    visitor.sign_in(eve)
    visitor.open("site_a", "/notes/")
    assert "Old note of eve" not in visitor.text


def link(topology: StoryTopology, *options: str) -> dict[str, str]:
    """Run ``sso_link``; return local username -> status."""
    rows = json.loads(topology.manage("site_a", "sso_link", "--json", *options))["users"]
    return {row["username"]: row["status"] for row in rows}
