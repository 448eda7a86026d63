"""Django REST framework, django-ninja and GraphQL know who is signed in, and still ask for CSRF tokens."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from sso_common import conf, testing
from tests.sso_common.tools import counted_trips, end, token_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("valkey"),
    pytest.mark.urls("tests.sso_common.products.apis"),
]

APIS = ["/rest/", "/ninja/"]


@pytest.fixture
def anna() -> Client:
    """The browser of a user who is signed in, at a site that checks CSRF tokens."""
    client = Client(enforce_csrf_checks=True)
    testing.sign_in(client, "anna", roles=["editor"])
    client.get("/user/")
    return client


@pytest.mark.parametrize("address", APIS)
def test_user_of_the_portal_can_use_an_api(
    anna: Client, address: str, django_assert_num_queries: Any
) -> None:
    with counted_trips() as trips, django_assert_num_queries(1):
        response = anna.get(address)

    assert response.json() == {"user": "anna", "roles": ["editor"]}
    assert len(trips) == 1


@pytest.mark.parametrize("address", APIS)
def test_api_refuses_others(client: Client, anna: Client, address: str) -> None:
    end(token_of(anna))
    testing.sign_in(client, "mallory", sites={})

    for browser in (anna, client, Client()):
        response = browser.get(address)
        assert response.status_code in {401, 403}
        assert response["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("address", APIS)
def test_attack_form_of_another_site_is_sent_to_an_api(anna: Client, address: str) -> None:
    origin = {"origin": "http://shop.testserver"}
    token = anna.get("/csrf/").text

    assert anna.post(address).status_code == 403
    assert anna.post(address, headers=origin | {"x-csrftoken": token}).status_code == 403
    assert anna.post(address, headers={"x-csrftoken": token}).json()["user"] == "anna"


def test_staff_role_counts_in_ninja(client: Client, anna: Client) -> None:
    testing.sign_in(client, "boss", roles=["staff"])

    assert client.get("/ninja/staff/").json() == "boss"
    assert anna.get("/ninja/staff/").status_code == 401


def test_graphql_knows_the_user(client: Client) -> None:
    testing.sign_in(client, "anna")

    response = client.post("/graphql/", {"query": "{me}"}, "application/json")

    assert response.json()["data"] == {"me": "anna"}


async def test_graphql_knows_the_user_async(async_client: AsyncClient) -> None:
    await sync_to_async(testing.sign_in)(async_client, "anna")

    response = await async_client.post("/async/graphql/", {"query": "{meAsync}"}, "application/json")

    assert response.json()["data"] == {"meAsync": "anna"}


def test_local_login_can_use_an_api(client: Client) -> None:
    client.force_login(User.objects.create_user("dora", is_staff=True))

    assert client.get("/ninja/staff/").json() == "dora"


def test_unavailable_redis_is_503_in_an_api(anna: Client, valkey: Any) -> None:
    valkey.kill()

    for address in APIS:
        assert anna.get(address).status_code == 503
    assert conf.dsn().cookie_name in anna.cookies
