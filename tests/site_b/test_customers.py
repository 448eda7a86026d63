"""How the portal's users become customers."""

import uuid

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from site_b.customers.models import Customer
from site_b.mapping import ShopUserMapper
from sso_common.snapshot import UserSnapshot, tombstone
from sso_common.user_admin import with_mixin
from sso_common.users import upsert_users


def snapshot(version: int = 1, **claims: object) -> UserSnapshot:
    return UserSnapshot(sub=uuid.UUID(int=7), version=version, username="anna", **claims)


def test_first_and_last_name_become_one_name() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund", email="anna@example.com")])

    customer = Customer.objects.get()
    assert (customer.name, customer.email, customer.is_active) == ("Anna Lund", "anna@example.com", True)
    assert isinstance(customer.pk, int)
    assert not customer.has_usable_password()


def test_name_change_at_the_portal_arrives() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund")])
    upsert_users([snapshot(2, first_name="Anna", last_name="Berg")])

    assert Customer.objects.get().name == "Anna Berg"


def test_user_deleted_at_the_portal_keeps_no_personal_data() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund", email="anna@example.com")])
    upsert_users([tombstone(uuid.UUID(int=7), 2)])

    customer = Customer.objects.get()
    assert (customer.name, customer.email, customer.is_active) == ("", "", False)
    assert "anna" not in customer.username


@pytest.mark.parametrize(
    ("first", "last", "name"), [("Anna", "", "Anna"), ("", "Lund", "Lund"), ("", "", "")]
)
def test_single_name_has_no_extra_spaces(first: str, last: str, name: str) -> None:
    assert ShopUserMapper().fields(snapshot(first_name=first, last_name=last))["name"] == name


def test_fields_of_a_linked_customer_are_read_only_in_an_admin() -> None:
    upsert_users([snapshot(first_name="Anna", last_name="Lund", email="anna@example.com")])
    own = Customer.objects.create_user("local")
    admin = with_mixin(Customer, ModelAdmin)(Customer, AdminSite())
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    linked = Customer.objects.get(username="anna")

    assert set(admin.get_form(request, linked).base_fields) == {"joined_at", "last_login"}
    assert {"username", "email", "name"} <= set(admin.get_form(request, own).base_fields)
    [(_, options)] = admin.get_fieldsets(request, linked)
    assert options["fields"][0] == "sso_portal"
    assert "password" not in options["fields"]
    assert f"/admin/accounts/user/{uuid.UUID(int=7)}/change/" in admin.sso_portal(linked)
