"""Users of the portal have no second password at a site, whichever form would give them one."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.management import CommandError, call_command
from django.db.models.signals import post_save, pre_save
from django.test import Client, override_settings
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from sso_common import conf, sync, testing
from sso_common.doctor import Level, configuration
from sso_common.models import Account
from sso_common.users import passwords, remove_passwords, upsert_users
from tests.sso_common.portal import Portal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

PASSWORD = "of-the-tests"


@pytest.fixture
def portal() -> Iterator[Portal]:
    double = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=double.url, SSO_FEED_PAGE=2):
        yield double
    double.close()


def linked_user(portal: Portal, username: str = "anna", **fields: Any) -> User:
    """A user of the portal who has visited this site."""
    upsert_users([portal.put(username)])
    User.objects.filter(username=username).update(**fields)
    return User.objects.get(username=username)


def give_password(*users: User) -> None:
    """Write passwords past ``Model.save``, as an import does, or an older version of this package did."""
    stranger = User()
    stranger.set_password(PASSWORD)
    User.objects.filter(pk__in=[user.pk for user in users]).update(password=stranger.password)


def with_password() -> set[str]:
    return {user.username for user in User.objects.all() if user.check_password(PASSWORD)}


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("sso_sync", *arguments, stdout=out)
    return out.getvalue()


# --- a form of the site ---------------------------------------------------------------------------


def test_attack_password_that_a_form_of_the_site_sets(portal: Portal, caplog: Any) -> None:
    anna = linked_user(portal)

    form = SetPasswordForm(anna, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert form.is_valid()
    form.save()

    assert with_password() == set()
    assert not User.objects.get().has_usable_password()
    assert str(testing.subject("anna")) in caplog.text


def test_attack_password_from_a_reset_link_of_the_site(portal: Portal, client: Client) -> None:
    """The link is older than the account at the portal, or a product makes it without a look at the user."""
    anna = linked_user(portal)
    key = f"{urlsafe_base64_encode(force_bytes(anna.pk))}/{default_token_generator.make_token(anna)}"

    form = client.get(f"/reset/{key}/")
    client.post(form["Location"], {"new_password1": "Kestrel-7-lamp", "new_password2": "Kestrel-7-lamp"})

    assert not User.objects.get().has_usable_password()
    assert not client.login(username="anna", password="Kestrel-7-lamp")


def test_reset_by_email_sends_a_linked_user_no_link(portal: Portal) -> None:
    linked_user(portal)
    User.objects.create_user("dora", "dora@example.com", PASSWORD)

    receivers = [
        user.username
        for address in ("anna@example.com", "dora@example.com")
        for user in PasswordResetForm().get_users(address)
    ]

    assert receivers == ["dora"]


class ProxyOfUser(User):
    class Meta:
        proxy = True
        app_label = "auth"


@pytest.mark.parametrize("model", [User, ProxyOfUser])
@pytest.mark.parametrize("fields", [None, ["password"], ["password", "email"]])
def test_no_save_gives_a_linked_user_a_password(
    portal: Portal, model: type[User], fields: list[str] | None
) -> None:
    linked_user(portal)
    anna = model.objects.get()

    anna.set_password(PASSWORD)
    anna.save(update_fields=fields)

    assert with_password() == set()


async def test_no_save_gives_a_linked_user_a_password_async() -> None:
    anna = await User.objects.acreate_user("anna")
    await Account.objects.acreate(sub=testing.subject("anna"), user=anna, version=1)

    anna.set_password(PASSWORD)
    await anna.asave()

    assert not (await User.objects.aget()).has_usable_password()


def test_local_users_set_passwords_as_in_stock_django(portal: Portal) -> None:
    dora = User.objects.create_user("dora", password="another")

    dora.set_password(PASSWORD)
    dora.save()

    assert with_password() == {"dora"}


def test_superuser_can_have_a_password_for_emergencies(portal: Portal, client: Client) -> None:
    anna = linked_user(portal, is_superuser=True, is_staff=True)

    anna.set_password(PASSWORD)
    anna.save()

    client.post("/admin/login/?local", {"username": "anna", "password": PASSWORD})
    assert client.get("/user/").content == b"anna"


def test_superuser_no_more_loses_the_password(portal: Portal) -> None:
    anna = linked_user(portal, is_superuser=True)
    give_password(anna)
    anna = User.objects.get()

    anna.is_superuser = False
    anna.save()

    assert with_password() == set()


def test_site_that_allows_local_logins_keeps_passwords(portal: Portal, settings: Any) -> None:
    settings.SSO_LOCAL_LOGIN = True
    anna = linked_user(portal)

    anna.set_password(PASSWORD)
    anna.save()

    assert with_password() == {"anna"}
    assert remove_passwords() == 0
    [finding] = configuration.passwords()
    assert finding.level is Level.OK
    assert "SSO_LOCAL_LOGIN" in finding.message


def test_save_that_changes_no_password_costs_no_query(portal: Portal, django_assert_num_queries: Any) -> None:
    anna = linked_user(portal)
    dora = User.objects.create_user("dora", password=PASSWORD)

    with django_assert_num_queries(2):
        anna.save()
        dora.save(update_fields=["last_login"])


# --- the Django admin -----------------------------------------------------------------------------


def test_password_page_of_the_admin_leads_to_the_portal(client: Client) -> None:
    testing.sign_in(client, "anna", roles=["staff"])

    response = client.get("/admin/password_change/")

    assert (response.status_code, response["Location"]) == (
        302,
        f"{conf.dsn().portal_url}/accounts/password/change/",
    )


def test_local_superuser_changes_the_password_in_the_admin(client: Client) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    client.login(username="operator", password=PASSWORD)
    passwords = {"old_password": PASSWORD, "new_password1": "Kestrel-7-lamp"}

    response = client.post("/admin/password_change/", passwords | {"new_password2": "Kestrel-7-lamp"})

    assert response.status_code == 302
    assert User.objects.get().check_password("Kestrel-7-lamp")


# --- passwords that are there already -------------------------------------------------------------


@pytest.fixture
def users(portal: Portal) -> Portal:
    """Linked users, superusers and local users, all with a password."""
    everyone = [linked_user(portal, f"user{number}") for number in range(5)]
    everyone += [linked_user(portal, "operator", is_superuser=True), User.objects.create_user("dora")]
    give_password(*everyone)
    return portal


def test_full_sync_removes_the_passwords_of_linked_users_only(users: Portal, monkeypatch: Any) -> None:
    monkeypatch.setattr(passwords, "BATCH", 2)

    assert "Removed the passwords that 5 linked users had at this site." in run("--full")

    assert with_password() == {"operator", "dora"}
    hashes = User.objects.filter(username__startswith="user").values_list("password", flat=True)
    assert len(set(hashes)) == 5
    assert json.loads(run("--full", "--json"))["passwords_removed"] == 0


def test_other_syncs_leave_passwords_alone(users: Portal) -> None:
    run()

    assert len(with_password()) == 7


def test_full_sync_removes_the_password_of_a_user_missing_from_the_feed(users: Portal) -> None:
    del users.people[testing.subject("user0")]

    result = sync.sync_full()

    assert (result.passwords_removed, result.deactivated) == (5, 1)


def test_removed_passwords_send_no_signals(users: Portal) -> None:
    """Receivers of a site may write to each user that the password was changed."""
    sent: list[str] = []
    receivers = [lambda instance, **_: sent.append(instance.username) for _ in range(2)]
    pre_save.connect(receivers[0], sender=User)
    post_save.connect(receivers[1], sender=User)

    assert remove_passwords() == 5

    pre_save.disconnect(receivers[0], sender=User)
    post_save.disconnect(receivers[1], sender=User)
    assert sent == []


def test_removal_that_is_interrupted_is_continued(users: Portal, monkeypatch: Any) -> None:
    monkeypatch.setattr(passwords, "BATCH", 2)
    removals = iter([True, False])

    def may_lose(user: User) -> bool:
        if user.username == "user2" and next(removals):
            raise KeyboardInterrupt
        return has_surplus_password(user)

    has_surplus_password = passwords.has_surplus_password
    monkeypatch.setattr(passwords, "has_surplus_password", may_lose)

    with pytest.raises(KeyboardInterrupt):
        remove_passwords()
    assert len(with_password()) == 5
    assert remove_passwords() == 3
    assert with_password() == {"operator", "dora"}


def test_verify_names_linked_users_with_a_password(users: Portal) -> None:
    out = io.StringIO()
    run()

    with pytest.raises(CommandError, match="sso_sync --full"):
        call_command("sso_sync", "--verify", stdout=out)

    assert len(re.findall("changed at this site:  password", out.getvalue())) == 5
    assert len(with_password()) == 7
    run("--full")
    assert "none differ" in run("--verify")


def test_doctor_counts_linked_users_with_a_password(users: Portal) -> None:
    [finding] = configuration.passwords()
    assert finding.level is Level.WARNING
    assert "have a password of this site, too: 5." in finding.message
    assert "manage.py sso_sync --full" in finding.fix

    remove_passwords()

    [finding] = configuration.passwords()
    assert finding.level is Level.OK
    assert "except 1 superusers for emergencies" in finding.message


def test_password_that_is_empty_is_removed_too(portal: Portal) -> None:
    """Django sends a link to reset it."""
    linked_user(portal, password="")

    assert remove_passwords() == 1
