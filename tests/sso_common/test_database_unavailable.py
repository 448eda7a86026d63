"""A page that needs the user answers 503 while the database cannot say who that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import (
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from demo.ports import free_port
from sso_common import testing
from sso_common.backends import SSOBackend
from sso_common.database import is_unavailable
from sso_common.models import Account
from tests.databases import ALIAS, Worker

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("valkey")]


def name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


async def aname(request: Any) -> HttpResponse:
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


def swallow(request: HttpRequest) -> HttpResponse:
    request.session["changed"] = True
    try:
        text = request.user.get_username()
    except Exception:  # noqa: BLE001  what a careless view does
        text = "nobody"
    return HttpResponse(text)


def own_query(request: HttpRequest) -> HttpResponse:
    assert request.user.is_authenticated
    with connection.execute_wrapper(failing(OperationalError("the disk is full"))):
        return HttpResponse(str(User.objects.count()))


def static_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("static")


urlpatterns = [
    path("name/", name),
    path("aname/", aname),
    path("swallow/", swallow),
    path("own/", own_query),
    path("static/", static_page),
]


def failing(error: Exception) -> Callable[..., None]:
    def wrapper(*arguments: Any) -> None:
        raise error

    return wrapper


@pytest.mark.parametrize("address", ["/name/", "/aname/", "/swallow/"])
@pytest.mark.parametrize(
    "error", [OperationalError("the server closed the connection"), InterfaceError("closed")]
)
def test_page_that_needs_the_user_is_a_503_without_cookies(
    client: Client, caplog: pytest.LogCaptureFixture, address: str, error: Exception
) -> None:
    testing.sign_in(client, "ada")

    with connection.execute_wrapper(failing(error)):
        response = client.get(address)

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert not response.cookies
    [record] = [each for each in caplog.records if getattr(each, "reason", "") == "database-unavailable"]
    assert record.exc_info is not None
    assert client.get(address).text == "ada"


async def test_async_client_gets_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    client = AsyncClient()
    testing.sign_in(client, "ada")
    # An async request has a connection of its own.
    monkeypatch.setattr(SSOBackend, "user_for", failing(OperationalError("the server closed the connection")))

    response = await client.get("/aname/")

    assert (response.status_code, bool(response.cookies)) == (503, False)


def test_local_login_gets_a_503(client: Client) -> None:
    client.force_login(User.objects.create_user("eve"), "django.contrib.auth.backends.ModelBackend")

    with connection.execute_wrapper(failing(OperationalError("the server closed the connection"))):
        response = client.get("/name/")

    assert (response.status_code, bool(response.cookies)) == (503, False)
    assert client.get("/name/").text == "eve"


def test_middleware_that_needs_the_user_gets_a_503(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    testing.sign_in(client, "ada")
    client.raise_request_exception = False

    with connection.execute_wrapper(failing(OperationalError("the server closed the connection"))):
        response = client.get("/static/")

    assert (response.status_code, bool(response.cookies)) == (503, False)


def test_page_that_does_not_need_the_user_works(client: Client) -> None:
    testing.sign_in(client, "ada")

    with connection.execute_wrapper(failing(OperationalError("the server closed the connection"))):
        assert client.get("/static/").status_code == 200


def test_errors_of_the_sites_own_queries_are_not_masked(client: Client) -> None:
    testing.sign_in(client, "ada")

    with pytest.raises(OperationalError, match="the disk is full"):
        client.get("/own/")


def test_missing_table_is_not_masked(client: Client) -> None:
    testing.sign_in(client, "ada")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sso_common_account RENAME TO elsewhere")

    with pytest.raises((OperationalError, ProgrammingError)) as caught:
        client.get("/name/")

    assert not is_unavailable(caught.value)


def test_server_that_refuses_connections_is_a_503(real: str) -> None:
    client = Client()
    testing.sign_in(client, "ada")

    def get() -> Any:
        connections[ALIAS].close()
        settings = connections[ALIAS].settings_dict
        settings |= (
            {"NAME": "/no/such/file"} if connections[ALIAS].vendor == "sqlite" else {"PORT": free_port()}
        )
        return client.get("/name/")

    assert Worker(get).result().status_code == 503


@pytest.mark.parametrize(
    "real",
    [
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
    indirect=True,
)
def test_connection_that_the_server_ends_is_a_503(real: str) -> None:
    client = Client()
    testing.sign_in(client, "ada")

    def get() -> list[Any]:
        Account.objects.exists()
        with connections[ALIAS].cursor() as cursor:
            is_mysql = connections[ALIAS].vendor == "mysql"
            cursor.execute("SELECT CONNECTION_ID()" if is_mysql else "SELECT pg_backend_pid()")
            [number] = cursor.fetchone()
        end = f"KILL {number}" if is_mysql else f"SELECT pg_terminate_backend({number})"
        Worker(lambda: connections[ALIAS].cursor().execute(end)).result()
        statuses = [client.get("/name/").status_code for _ in range(2)]
        connections[ALIAS].close()
        return [*statuses, client.get("/name/").status_code]

    assert Worker(get).result() == [503, 503, 200]
