"""Changes of a user at the portal reach both sites."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.stories.people import EVERYWHERE, SITES, Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology

NEW_NAME = 'user = User.objects.get(pk=sub); user.first_name = "{}"; user.save()'


def local_user(shell: Callable[[str], Shell], site: str, person: Person) -> dict[str, Any] | None:
    """Return a person's row in a site's own table of users."""
    return shell(site)("User.objects.filter(sso_account__sub=sub).values().first()", sub=person.sub)


def test_a_new_name_appears_at_both_sites_at_the_next_click(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    for name in ("sync_a", "sync_b"):  # users who are signed in need no feed
        visitor.topology.parts[name].stop()
    visitor.sign_in(new_person("Mia"))
    visitor.signed_in_at()

    visitor.open("portal", "/account/")
    visitor.page.get_by_label("First name").fill("Miranda")
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Save").click()

    for part in EVERYWHERE:
        visitor.open(part)
        assert re.search(r"Miranda Story\d+", visitor.text), part


def test_a_change_reaches_both_sites_databases_without_a_sign_in(
    topology: StoryTopology, shell: Callable[[str], Shell], new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")

    shell("portal")(NEW_NAME.format("Miranda"), sub=mia.sub)

    def names() -> list[str]:
        rows = [local_user(shell, site, mia) or {} for site in SITES]
        return [str(row.get("name") or row.get("first_name")).split(" ")[0] for row in rows]

    topology.eventually(lambda: names() == ["Miranda", "Miranda"])


def test_a_role_gives_access_to_the_admin_and_its_loss_takes_it(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    services = "from portal.registry import services; user = User.objects.get(pk=sub)\n"

    assert visitor.open("site_a", "/admin/").status == 403
    shell("portal")(services + 'services.give_role(user, "site_a", "staff")', sub=mia.sub)
    assert visitor.open("site_a", "/admin/").status == 200
    assert "Notes" in visitor.text

    shell("portal")('Grant.objects.get(user=sub, role__name="staff").delete()', sub=mia.sub)
    visitor.forget()
    assert visitor.open("site_a", "/admin/").status == 403
    assert visitor.path.startswith("site_a/admin/")
    assert len(visitor.redirects()) <= 1, "A user without the role gets a page and no loop."
    assert visitor.page.get_by_role("link").count(), "There is a way back."
    assert visitor.is_signed_in("site_a")


@pytest.mark.parametrize("way", ["deactivate", "delete"])
def test_users_gone_at_the_portal_are_signed_out_and_their_content_stays(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell], way: str
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    visitor.signed_in_at()
    shell("site_a")(
        'Note.objects.create(owner=User.objects.get(sso_account__sub=sub), title="Kept", is_public=True)',
        sub=mia.sub,
    )
    shell("site_b")(
        """
        import uuid
        customer = User.objects.get(sso_account__sub=sub)
        Order.objects.create(reference=uuid.uuid4(), customer=customer, total_cents=100)
        """,
        sub=mia.sub,
    )
    ids = {site: (local_user(shell, site, mia) or {})["id"] for site in SITES}

    if way == "delete":
        shell("portal")("User.objects.get(pk=sub).delete()", sub=mia.sub)
    else:
        shell("portal")("user = User.objects.get(pk=sub); user.is_active = False; user.save()", sub=mia.sub)

    assert visitor.signed_in_at() == set()
    for site in SITES:
        visitor.topology.eventually(lambda site=site: not (local_user(shell, site, mia) or {})["is_active"])
        row = local_user(shell, site, mia) or {}
        assert row["id"] == ids[site]
        is_blank = not row["email"] and mia.username not in str(row) and "Mia" not in str(row)
        assert is_blank == (way == "delete")
    assert shell("site_a")('Note.objects.filter(owner=pk, title="Kept").count()', pk=ids["site_a"]) == 1
    assert shell("site_b")("Order.objects.filter(customer=pk).count()", pk=ids["site_b"]) == 1


def test_inactive_users_cannot_sign_in_until_they_are_activated(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    mia = new_person("Mia", is_active=False)

    visitor.open("site_a", "/notes/")
    visitor.fill_in(mia)

    assert visitor.path.startswith("portal/accounts/")
    assert visitor.sso_cookie is None

    shell("portal")("user = User.objects.get(pk=sub); user.is_active = True; user.save()", sub=mia.sub)
    visitor.open("site_a", "/notes/")
    visitor.fill_in(mia)
    assert visitor.path == "site_a/notes/"


def test_signing_out_everywhere_ends_the_sessions_of_all_browsers(
    new_visitor: Callable[[], Visitor], new_person: Callable[..., Person]
) -> None:
    mia, here, there = new_person("Mia"), new_visitor(), new_visitor()
    here.sign_in(mia)
    there.sign_in(mia)

    here.open("portal", "/account/")
    with here.page.expect_navigation():
        here.page.get_by_role("button", name="Sign out everywhere").click()

    assert here.signed_in_at() == set()
    assert there.signed_in_at() == set()


def test_a_new_password_ends_all_other_sessions_and_keeps_this_one(
    new_visitor: Callable[[], Visitor], new_person: Callable[..., Person]
) -> None:
    mia, here, there = new_person("Mia"), new_visitor(), new_visitor()
    here.sign_in(mia)
    there.sign_in(mia)

    here.open("portal", "/accounts/password/change/")
    if here.path == "portal/accounts/reauthenticate/":
        here.page.locator("input[name=password]").fill(mia.password)
        here.page.keyboard.press("Enter")
        here.page.wait_for_url("**/password/change/")
    here.page.locator("input[name=oldpassword]").fill(mia.password)
    for field in ("password1", "password2"):
        here.page.locator(f"input[name={field}]").fill("another horse, another battery")
    with here.page.expect_navigation():
        here.page.locator("form:has(input[name=password1]) button[type=submit]").click()

    assert there.signed_in_at() == set()
    assert here.signed_in_at() == set(EVERYWHERE)
