"""Who is meant by a name or an email address: confirmed addresses only, with indexes, in constant time."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.core import context
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.core.management import CommandError
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from portal.accounts import lookup
from portal.accounts.imported import ImportedAccount
from portal.accounts.importing import is_known_hash
from portal.accounts.people import find_person
from portal.sessions.forms import PortalResetPasswordForm

from .people import PASSWORD, browser, is_signed_in, person, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

RESET = "/accounts/password/reset/"


@pytest.fixture
def anna() -> Any:
    return person()


def links() -> list[str]:
    """The links to set a password in all mails."""
    return [link for each in mail.outbox for link in re.findall(r"http\S+/reset/key/\S+", each.body)]


def request_reset(address: str) -> list[str]:
    """Request a link for an address and return the links that were sent to it."""
    mail.outbox.clear()
    browser().post(RESET, {"email": address})
    assert [each.to for each in mail.outbox] == [[address]]
    return links()


# --- whose address it is -----------------------------------------------------------------------------


def test_attack_pending_address_gets_no_reset_link(anna: Any) -> None:
    EmailAddress.objects.create(user=anna, email="typo@example.com")

    assert request_reset("typo@example.com") == []
    assert len(request_reset("anna@example.com")) == 1


def test_attack_pending_address_does_not_sign_in(anna: Any) -> None:
    EmailAddress.objects.create(user=anna, email="typo@example.com")
    client = browser()

    sign_in(client, "typo@example.com")

    assert not is_signed_in(client)


def test_attack_unconfirmed_address_does_not_sign_in() -> None:
    person("eve", email_verified=False)
    by_address, by_name = browser(), browser()

    sign_in(by_address, "eve@example.com")
    sign_in(by_name, "eve")

    assert not is_signed_in(by_address)
    assert is_signed_in(by_name)


def test_attack_username_does_not_stand_in_the_way_of_the_owner_of_the_address(anna: Any) -> None:
    get_user_model().objects.create_user("anna@example.com", "mallory@example.com", "another-password")
    client = browser()

    sign_in(client, "anna@example.com")

    assert client.get("/").wsgi_request.user == anna


@pytest.mark.parametrize("how", ["save", "update", "admin"])
def test_attack_former_address_gets_no_reset_link(anna: Any, how: str) -> None:
    if how == "save":
        anna.email = "new@example.com"
        anna.save()
    elif how == "update":
        get_user_model().objects.filter(pk=anna.pk).update(email="new@example.com")
    else:
        change_in_admin(anna, email="new@example.com")

    assert request_reset("anna@example.com") == []
    client = browser()
    sign_in(client, "anna@example.com")
    assert not is_signed_in(client)


def change_in_admin(user: Any, **changes: str) -> None:
    person("root", is_staff=True, is_superuser=True)
    client = browser()
    sign_in(client, "root")
    page = client.get(f"/admin/accounts/user/{user.pk}/change/")
    form = page.context["adminform"].form
    data = {
        name: form[name].value() for name in ("username", "first_name", "last_name", "email", "is_active")
    }
    for formset in page.context["inline_admin_formsets"]:
        data |= {f"{formset.formset.prefix}-TOTAL_FORMS": "0", f"{formset.formset.prefix}-INITIAL_FORMS": "0"}
    response = client.post(f"/admin/accounts/user/{user.pk}/change/", {**data, **changes})
    assert response.status_code == 302, response.context["adminform"].form.errors


def test_address_that_staff_have_set_is_confirmed_by_a_link(anna: Any) -> None:
    change_in_admin(anna, email="new@example.com")

    (message,) = mail.outbox
    assert message.to == ["new@example.com"]
    (link,) = re.findall(r"http\S+/confirm-email/\S+", message.body)
    client = browser()
    client.post(link.removeprefix("http://portal.sso.localhost"))

    anna.refresh_from_db()
    assert (anna.email, anna.email_verified) == ("new@example.com", True)
    assert len(request_reset("new@example.com")) == 1


def test_pending_address_of_a_stranger_does_not_block_its_owner(anna: Any) -> None:
    mallory = person("mallory")
    EmailAddress.objects.create(user=mallory, email="anna.new@example.com")
    client = browser()
    sign_in(client)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})

    client.post("/accounts/email/", {"action_add": "", "email": "anna.new@example.com"})

    (message,) = mail.outbox
    assert message.to == ["anna.new@example.com"]
    (link,) = re.findall(r"http\S+/confirm-email/\S+", message.body)
    client.post(link.removeprefix("http://portal.sso.localhost"))
    anna.refresh_from_db()
    assert anna.email == "anna.new@example.com"


def test_new_user_without_a_password_sets_the_first_one_by_mail() -> None:
    get_user_model().objects.create_user("ina", "ina@example.com")

    (link,) = request_reset("ina@example.com")
    client = browser()
    form = client.get(link.removeprefix("http://portal.sso.localhost"), follow=True)
    client.post(form.request["PATH_INFO"], {"password1": PASSWORD, "password2": PASSWORD})
    sign_in(client, "ina")

    assert is_signed_in(client)
    assert get_user_model().objects.get().email_verified


def test_inactive_user_gets_no_link() -> None:
    person(is_active=False)

    assert request_reset("anna@example.com") == []


# --- time --------------------------------------------------------------------------------------------

LOGINS = ["anna", "ANNA", "anna@example.com", "nobody", "nobody@example.com", "", "a\x00b", "x" * 10_000]


@pytest.mark.parametrize("login", LOGINS)
def test_attack_time_of_a_sign_in_does_not_depend_on_the_account(
    anna: Any, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda self, *args: hashed.append(1) or encode(self, *args)
    )

    with CaptureQueriesContext(connection) as captured:
        sign_in(browser(), login, password="wrong-password")

    if 0 < len(login) < 1000 and "\x00" not in login:
        assert len(hashed) == 1
        assert len([each for each in captured if each["sql"].startswith("SELECT")]) == SELECTS
    assert not [each["sql"] for each in captured if "UPPER(" in each["sql"] or "LIKE" in each["sql"]]


SELECTS = 7


@pytest.mark.parametrize("find", [lookup.by_login, lookup.by_username, lookup.by_email, lookup.invited])
def test_lookups_ignore_case_and_survive_any_text(find: Any, anna: Any) -> None:
    for text in ("", "\x00", "anna\x00", "ÄÖ", "\ud800".encode("utf-8", "replace").decode(), "x" * 5000):
        assert find(text) is None


def test_lookups_use_an_index(anna: Any) -> None:
    for find in (lookup.by_username, lookup.by_email, lookup.invited):
        with CaptureQueriesContext(connection) as captured:
            find("anna@example.com")
        for query in captured:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                plan = " ".join(str(row) for row in cursor.fetchall())
            assert "SCAN" not in plan, plan


# --- links that are used twice at once ----------------------------------------------------------------


def test_attack_reset_link_works_once_for_simultaneous_requests(anna: Any) -> None:
    data = {"password1": "another-passphrase", "password2": "another-passphrase"}
    forms = [PortalResetPasswordForm(data, user=anna, temp_key="key") for _ in range(4)]

    assert [form.is_valid() for form in forms] == [True, False, False, False]
    assert "already been used" in str(forms[1].errors)
    invalid = PortalResetPasswordForm({"password1": "1", "password2": "2"}, user=anna, temp_key="other")
    assert not invalid.is_valid()
    # A mistyped password costs nothing.
    assert PortalResetPasswordForm(data, user=anna, temp_key="other").is_valid()


def test_attack_simultaneous_confirmations_send_one_mail(anna: Any) -> None:
    pending = EmailAddress.objects.create(user=anna, email="new@example.com")
    copies = [EmailAddress.objects.get(pk=pending.pk) for _ in range(4)]
    request = browser().get("/").wsgi_request

    with context.request_context(request):
        confirmed = [get_adapter(request).confirm_email(request, copy) for copy in copies]

    assert confirmed == [True, False, False, False]
    assert [each.to for each in mail.outbox] == [["anna@example.com"]]


@pytest.mark.parametrize("host", ["portal.sso.localhost:4444", "127.0.0.1:4444"])
def test_attack_host_header_does_not_choose_where_any_mail_leads(anna: Any, host: str) -> None:
    with override_settings(SSO_OPEN_SIGNUP=True):
        for address in ("anna@example.com", "nobody@example.com"):
            browser().post(RESET, {"email": address}, headers={"host": host})

    found = [link for each in mail.outbox for link in re.findall(r"https?://\S+", each.body)]
    assert {urlsplit(link).netloc for link in found} == {"portal.sso.localhost"}
    assert any("signup" in link for link in found)


def test_mail_about_an_unknown_account_offers_no_closed_sign_up() -> None:
    browser().post(RESET, {"email": "nobody@example.com"})

    (message,) = mail.outbox
    assert "signup" not in message.body
    assert "There is no account with this address" in message.body


# --- addresses that nobody has confirmed ----------------------------------------------------------------


def test_address_that_somebody_else_has_and_never_confirmed_goes_to_its_owner(anna: Any) -> None:
    eve = person("eve", email_verified=False)
    get_user_model().objects.filter(pk=eve.pk).update(email="anna.new@example.com")
    client = browser()
    sign_in(client)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.post("/accounts/email/", {"action_add": "", "email": "anna.new@example.com"})
    (link,) = re.findall(r"http\S+/confirm-email/\S+", mail.outbox[-1].body)

    client.post(link.removeprefix("http://portal.sso.localhost"))

    anna.refresh_from_db()
    eve.refresh_from_db()
    assert anna.email == "anna.new@example.com"
    assert eve.email.endswith("@sso.invalid")


def test_attack_imported_account_does_not_go_to_the_owner_of_a_mistyped_address() -> None:
    ada = get_user_model().objects.create_user("ada", "bob@example.com")
    ImportedAccount.objects.create(site="site_a", key="1", sub=ada.pk)

    assert request_reset("bob@example.com") == []


@override_settings(ACCOUNT_EMAIL_VERIFICATION="mandatory", SSO_OPEN_SIGNUP=True)
def test_owner_of_a_mailbox_takes_over_what_a_stranger_has_signed_up_with_it() -> None:
    get_user_model().objects.create_user("mallory", "anna@example.com", "of-mallory")

    assert len(request_reset("anna@example.com")) == 1


@pytest.mark.parametrize("text", ["boss@example.com", "eve@example.com"])
def test_attack_name_or_unconfirmed_address_is_no_persons_address(text: str) -> None:
    get_user_model().objects.create_user("boss@example.com", "mallory@example.com", email_verified=True)
    person("eve", email_verified=False)

    with pytest.raises(CommandError):
        find_person(text)


@pytest.mark.parametrize(
    "encoded",
    [
        "pbkdf2_sha256$2000000000$salt$hash",
        "argon2$argon2id$v=19$m=4194304,t=100,p=8$c2FsdHNhbHQ$aGFzaGhhc2g",
        "bcrypt_sha256$$2b$31$" + "a" * 53,
        "scrypt$3$salt$8$1$hash",
    ],
)
def test_attack_imported_hash_does_not_stop_the_portal(anna: Any, encoded: str) -> None:
    is_known = is_known_hash(encoded)
    get_user_model().objects.filter(pk=anna.pk).update(password=encoded)

    assert not is_known or sign_in(browser()).status_code == 200


def test_attack_thief_of_a_session_does_not_become_staff_with_its_user(anna: Any) -> None:
    client = browser()
    sign_in(client)

    anna.is_staff = True
    anna.save()

    assert not is_signed_in(client)
