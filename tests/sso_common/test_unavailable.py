"""Promise 1: unavailable is never absent. A real Redis is killed, paused, and made to refuse commands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.test import AsyncClient, Client

from sso_common import conf, store, testing
from sso_common.store.link import Link
from sso_common.store.outage import Outage
from sso_common.store.server import Server
from tests.servers import ValkeyServer
from tests.timing import tries_within

#: Seconds that a visitor waits at most.
LIMIT = 1.5

JSON = {"Accept": "application/json"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_store")]


@contextlib.contextmanager
def killed(valkey: ValkeyServer) -> Iterator[None]:
    valkey.kill()
    yield
    valkey.start()


@contextlib.contextmanager
def paused(valkey: ValkeyServer) -> Iterator[None]:
    valkey.pause()
    yield
    valkey.resume()
    store.outage.end()


@contextlib.contextmanager
def password_changed(valkey: ValkeyServer) -> Iterator[None]:
    operator = valkey.admin
    operator.execute_command("ACL SETUSER", "operator", "on", ">spare", "~*", "&*", "+@all")
    spare = operator.__class__.from_url(valkey.url.replace("default:of-the-tests", "operator:spare"))
    before = spare.execute_command("ACL LIST")
    spare.execute_command("ACL SETUSER", "default", "resetpass", ">something-else")
    spare.execute_command("CLIENT KILL USER", "default")
    yield
    rules = next(line for line in before if line.split()[1] in (b"default", "default")).split()[2:]
    spare.execute_command("ACL SETUSER", "default", "reset", *rules)
    spare.close()


@contextlib.contextmanager
def commands_forbidden(valkey: ValkeyServer) -> Iterator[None]:
    valkey.admin.execute_command("ACL SETUSER", "default", "-get", "-hgetall", "-eval", "-evalsha", "-unlink")
    yield
    valkey.admin.execute_command("ACL SETUSER", "default", "+@all")


@contextlib.contextmanager
def out_of_memory(valkey: ValkeyServer) -> Iterator[None]:
    valkey.admin.config_set("maxmemory", "1mb")
    yield
    valkey.admin.config_set("maxmemory", "256mb")


@contextlib.contextmanager
def read_only_replica(valkey: ValkeyServer) -> Iterator[None]:
    valkey.admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    valkey.admin.execute_command("REPLICAOF", "NO", "ONE")


Failure = Callable[[ValkeyServer], contextlib.AbstractContextManager[None]]
T = TypeVar("T")

CANNOT_READ: list[Failure] = [killed, paused, password_changed, commands_forbidden]
CANNOT_DELETE: list[Failure] = [*CANNOT_READ, read_only_replica]
CANNOT_WRITE: list[Failure] = [*CANNOT_DELETE, out_of_memory]
#: Pages that use the session.
PAGES = [
    "/user/",
    "/identity/",
    "/show/",
    "/private/",
    "/swallowing/",
    "/swallowing-view/",
    "/admin/",
    "/sso/login/",
]


def named(failure: Failure) -> str:
    return failure.__name__


def in_time(valkey: ValkeyServer, failure: Failure, request: Callable[[], T]) -> T:
    """Return what a request returns while Redis fails, which must happen within ``LIMIT``."""
    for attempt in tries_within(LIMIT):
        store.ping()  # each try finds an open connection
        with failure(valkey), attempt:
            returned = request()
    return returned


@pytest.fixture
def visitor(valkey: ValkeyServer) -> Client:
    """A browser that is signed in, and still has an anonymous session."""
    client = Client()
    client.get("/put/?cart=mug")
    testing.sign_in(client, "anna")
    return client


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_needs_the_session_is_unavailable_and_touches_no_cookie(
    valkey: ValkeyServer, visitor: Client, failure: Failure, page: str
) -> None:
    response = in_time(valkey, failure, lambda: visitor.get(page))

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert not response.cookies
    assert b"Temporarily unavailable" in response.content


@pytest.mark.parametrize("failure", CANNOT_WRITE, ids=named)
def test_a_change_that_cannot_be_saved_is_not_shown_as_saved(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    visitor.get("/user/")

    response = in_time(valkey, failure, lambda: visitor.get("/put/?theme=dark"))

    assert response.status_code == 503
    assert not response.cookies
    assert visitor.get("/show/").json() == {"cart": "mug"}


@pytest.mark.parametrize("failure", CANNOT_DELETE, ids=named)
def test_a_sign_out_that_fails_is_not_shown_as_done(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    visitor.get("/user/")
    with failure(valkey):
        response = visitor.post("/sso/logout/")

    assert response.status_code == 503
    assert not response.cookies
    assert visitor.get("/user/").content == b"anna"


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_a_client_that_accepts_json_gets_json(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    with failure(valkey):
        response = visitor.get("/private/", headers=JSON)

    assert response.status_code == 503
    assert response.json()["error"] == "unavailable"
    assert int(response["Retry-After"]) > 0


def get_on_a_loop_of_its_own(client: AsyncClient, page: str) -> HttpResponse:
    return asyncio.run(client.get(page))


def get_on_a_loop_of_one_call(client: AsyncClient, page: str) -> HttpResponse:
    return async_to_sync(client.get)(page)


@pytest.mark.parametrize("get", [get_on_a_loop_of_its_own, get_on_a_loop_of_one_call])
@pytest.mark.parametrize("page", ["/async/user/", "/async/swallowing-view/", "/async/put/?theme=dark"])
@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_an_async_view_is_unavailable_too(
    valkey: ValkeyServer, failure: Failure, page: str, get: Callable[[AsyncClient, str], HttpResponse]
) -> None:
    client = AsyncClient()
    testing.sign_in(client, "anna")

    response = in_time(valkey, failure, lambda: get(client, page))

    assert response.status_code == 503
    assert not response.cookies


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_a_page_that_does_not_use_the_session_works(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    with failure(valkey):
        response = visitor.get("/")

    assert response.status_code == 200
    assert not response.cookies


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_an_outage_signs_nobody_out_and_loses_nothing(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    visitor.get("/put/?theme=dark")
    cookies = {name: morsel.value for name, morsel in visitor.cookies.items()}
    with failure(valkey):
        visitor.get("/user/")
        visitor.get("/put/?theme=light")

    assert {name: morsel.value for name, morsel in visitor.cookies.items()} == cookies
    assert visitor.get("/user/").content == b"anna"
    assert visitor.get("/show/").json() == {"cart": "mug", "theme": "dark"}


@pytest.mark.parametrize("failure", [killed, paused, password_changed], ids=named)
def test_the_health_page_reports_an_outage(valkey: ValkeyServer, failure: Failure) -> None:
    client = Client()
    with failure(valkey):
        sick = client.get("/sso/health/")
    well = client.get("/sso/health/")

    assert (sick.status_code, sick.json()["status"]) == (503, "unavailable")
    assert (well.status_code, well.json()["status"]) == (200, "ok")
    assert well.json()["keys"] == [kid for kid, _key in conf.dsn().public_keys]


def test_an_outage_is_logged_once_a_request(
    valkey: ValkeyServer, visitor: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with killed(valkey):
        visitor.get("/user/")

    assert [record.levelname for record in caplog.records if record.name == "sso_common.session"] == ["ERROR"]


def test_one_request_waits_once_however_often_it_uses_the_session(
    valkey: ValkeyServer, visitor: Client
) -> None:
    """The local login, the identity and the save at the end would each wait."""
    assert in_time(valkey, paused, lambda: visitor.get("/swallowing/")).status_code == 503


def test_requests_after_a_time_out_are_refused_at_once(
    valkey: ValkeyServer, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all of a server's threads waited, so would the pages that need no session."""
    monkeypatch.setattr(Outage, "PAUSE", 60)
    sent: list[object] = []
    with paused(valkey):
        visitor.get("/user/")
        monkeypatch.setattr(Server, "exchange", lambda _, commands: sent.append(commands))
        monkeypatch.setattr(Link, "ask", lambda _, commands: sent.append(commands))
        responses = [visitor.get("/user/") for _ in range(20)]

    assert {response.status_code for response in responses} == {503}
    assert not sent


def test_concurrent_visitors_wait_no_longer_than_one(valkey: ValkeyServer) -> None:
    visitors = [Client() for _ in range(8)]
    for number, client in enumerate(visitors):
        testing.sign_in(client, f"visitor{number}")

    with ThreadPoolExecutor(len(visitors)) as pool:
        responses = in_time(
            valkey, paused, lambda: list(pool.map(lambda client: client.get("/show/"), visitors))
        )

    assert {response.status_code for response in responses} == {503}


def test_one_request_finds_out_that_the_outage_is_over(
    valkey: ValkeyServer, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "PAUSE", 60)
    valkey.pause()
    visitor.get("/user/")
    valkey.resume()

    refused = visitor.get("/user/")
    monkeypatch.setattr(Outage, "PAUSE", 0)
    store.outage.begin()  # and the pause is over
    answer = visitor.get("/user/")

    assert refused.status_code == 503
    assert (answer.status_code, answer.content) == (200, b"anna")


def test_a_response_survives_an_idle_timeout_that_cannot_be_extended(
    valkey: ValkeyServer, visitor: Client
) -> None:
    visitor.get("/user/")
    valkey.admin.pexpire(valkey.admin.keys("*:identity")[0], 60_000)
    valkey.admin.execute_command("ACL SETUSER", "default", "-pexpire")

    response = visitor.get("/user/")

    valkey.admin.execute_command("ACL SETUSER", "default", "+@all")
    assert (response.status_code, response.content) == (200, b"anna")
