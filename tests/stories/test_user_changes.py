"""What changes about a user at the portal reaches both sites."""

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
    """A site's own row of a person."""
    return shell(site)("User.objects.filter(sso_account__sub=sub).values().first()", sub=person.sub)


def test_a_new_name_is_seen_at_both_sites_on_the_next_click(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    for name in ("sync_a", "sync_b"):  # the feed is not needed for somebody who is signed in
        visitor.topology.parts[name].stop()
    visitor.sign_in(new_person("Mia"))
    visitor.where()

    visitor.open("portal", "/account/")
    visitor.page.get_by_label("First name").fill("Miranda")
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Save").click()

    for part in EVERYWHERE:
        visitor.open(part)
        assert re.search(r"Miranda Story\d+", visitor.text), part


def test_a_change_reaches_the_databases_of_both_sites_with_nobody_signed_in(
    topology: StoryTopology, shell: Callable[[str], Shell], new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")

    shell("portal")(NEW_NAME.format("Miranda"), sub=mia.sub)

    def names() -> list[str]:
        rows = [local_user(shell, site, mia) or {} for site in SITES]
        return [str(row.get("name") or row.get("first_name")).split(" ")[0] for row in rows]

    topology.eventually(lambda: names() == ["Miranda", "Miranda"])


def test_a_role_opens_the_sites_admin_and_its_loss_closes_it(
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
    assert len(visitor.redirects()) <= 1, "A person without the role gets a page, and no loop."
    assert visitor.page.get_by_role("link").count(), "There is a way back."
    assert visitor.is_signed_in("site_a")


@pytest.mark.parametrize("way", ["deactivate", "delete"])
def test_who_is_gone_at_the_portal_is_signed_out_at_the_next_click_and_what_they_wrote_stays(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell], way: str
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    visitor.where()
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

    assert visitor.where() == set()
    for site in SITES:
        visitor.topology.eventually(lambda site=site: not (local_user(shell, site, mia) or {})["is_active"])
        row = local_user(shell, site, mia) or {}
        assert row["id"] == ids[site]
        is_blank = not row["email"] and mia.username not in str(row) and "Mia" not in str(row)
        assert is_blank == (way == "delete")
    assert shell("site_a")('Note.objects.filter(owner=pk, title="Kept").count()', pk=ids["site_a"]) == 1
    assert shell("site_b")("Order.objects.filter(customer=pk).count()", pk=ids["site_b"]) == 1


def test_who_is_deactivated_cannot_sign_in_again_until_activated(
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

    assert here.where() == set()
    assert there.where() == set()


def test_a_new_password_ends_all_other_sessions_and_not_this_one(
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

    assert there.where() == set()
    assert here.where() == set(EVERYWHERE)
