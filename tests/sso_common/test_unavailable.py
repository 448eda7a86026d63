"""Promise 1: unavailable is never absent. Redis is killed, paused, and made to refuse, for real."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import AsyncClient, Client

from sso_common import conf, store, testing
from tests.servers import ValkeyServer
from tests.timing import tries_within

from .tools import counted_trips

#: The promise, in seconds: what a visitor waits at the most.
LIMIT = 1.5

JSON = {"Accept": "application/json"}

pytestmark = pytest.mark.django_db


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

CANNOT_READ: list[Failure] = [killed, paused, password_changed, commands_forbidden]
CANNOT_DELETE: list[Failure] = [*CANNOT_READ, read_only_replica]
CANNOT_WRITE: list[Failure] = [*CANNOT_DELETE, out_of_memory]
#: Pages that look at the session, and one that changes it.
LOOKING = [
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


@pytest.fixture
def visitor(valkey: ValkeyServer) -> Client:
    """A browser that is signed in and has a session of its own, too, from before."""
    client = Client()
    client.get("/put/?cart=mug")
    testing.sign_in(client, "anna")
    return client


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
@pytest.mark.parametrize("page", LOOKING)
def test_a_page_that_needs_the_session_is_unavailable_and_touches_no_cookie(
    valkey: ValkeyServer, visitor: Client, failure: Failure, page: str
) -> None:
    with failure(valkey):
        for attempt in tries_within(LIMIT):
            store.outage.end()
            with attempt:
                response = visitor.get(page)

            assert response.status_code == 503
            assert int(response["Retry-After"]) > 0
            assert not response.cookies
            assert b"Temporarily unavailable" in response.content


@pytest.mark.parametrize("failure", CANNOT_WRITE, ids=named)
def test_a_change_that_cannot_be_saved_is_not_shown_as_saved(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    visitor.get("/user/")
    with failure(valkey):
        for attempt in tries_within(LIMIT):
            store.outage.end()
            with attempt:
                response = visitor.get("/put/?theme=dark")

            assert response.status_code == 503
            assert not response.cookies

    assert visitor.get("/show/").json() == {"cart": "mug"}


@pytest.mark.parametrize("failure", CANNOT_DELETE, ids=named)
def test_nobody_is_told_that_they_are_signed_out_when_they_are_not(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    visitor.get("/user/")
    with failure(valkey):
        response = visitor.post("/sso/logout/")

    assert response.status_code == 503
    assert not response.cookies
    assert visitor.get("/user/").content == b"anna"


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_who_asks_for_json_gets_json(valkey: ValkeyServer, visitor: Client, failure: Failure) -> None:
    with failure(valkey):
        response = visitor.get("/private/", headers=JSON)

    assert response.status_code == 503
    assert response.json()["error"] == "unavailable"
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize("page", ["/async/user/", "/async/swallowing-view/", "/async/put/?theme=dark"])
@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
async def test_an_async_view_is_unavailable_likewise(
    valkey: ValkeyServer, failure: Failure, page: str
) -> None:
    client = AsyncClient()
    testing.sign_in(client, "anna")
    with failure(valkey):
        for attempt in tries_within(LIMIT):
            store.outage.end()
            with attempt:
                response = await client.get(page)

            assert response.status_code == 503
            assert not response.cookies


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_a_page_that_does_not_look_at_the_session_is_not_affected(
    valkey: ValkeyServer, visitor: Client, failure: Failure
) -> None:
    with failure(valkey):
        response = visitor.get("/")

    assert response.status_code == 200
    assert not response.cookies


@pytest.mark.parametrize("failure", CANNOT_READ, ids=named)
def test_nobody_is_signed_out_and_nothing_is_lost(
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
def test_the_health_page_says_so(valkey: ValkeyServer, failure: Failure) -> None:
    client = Client()
    with failure(valkey):
        sick = client.get("/sso/health/")
    well = client.get("/sso/health/")

    assert (sick.status_code, sick.json()["status"]) == (503, "unavailable")
    assert (well.status_code, well.json()["status"]) == (200, "ok")
    assert well.json()["keys"] == [kid for kid, _key in conf.public_keys()]


def test_the_log_says_so_once(
    valkey: ValkeyServer, visitor: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with killed(valkey):
        visitor.get("/user/")

    assert [record.levelname for record in caplog.records if record.name == "sso_common.session"] == ["ERROR"]


def test_one_request_waits_once_however_often_it_looks(valkey: ValkeyServer, visitor: Client) -> None:
    """The local login, the identity and the save at the end would each wait on their own."""
    with paused(valkey):
        for attempt in tries_within(LIMIT):
            store.outage.end()
            with attempt:
                visitor.get("/swallowing/")


def test_after_one_time_out_redis_is_not_asked_for_a_moment(
    valkey: ValkeyServer, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all threads of a server would wait, and pages that need no session with them."""
    monkeypatch.setattr(type(store.outage), "PAUSE", 60.0)  # the moment must not pass during the test
    with counted_trips() as trips, paused(valkey):
        visitor.get("/user/")
        before = len(trips)
        responses = [visitor.get("/user/") for _ in range(20)]
        after = len(trips)

    assert {response.status_code for response in responses} == {503}
    assert after == before


def test_visitors_who_come_at_once_all_wait_no_longer_than_one(valkey: ValkeyServer) -> None:
    visitors = [Client() for _ in range(8)]
    for number, client in enumerate(visitors):
        testing.sign_in(client, f"visitor{number}")

    with paused(valkey), ThreadPoolExecutor(len(visitors)) as pool:
        for attempt in tries_within(LIMIT):
            store.outage.end()
            with attempt:
                statuses = set(pool.map(lambda client: client.get("/show/").status_code, visitors))

            assert statuses == {503}


def test_one_request_finds_out_that_the_outage_is_over(
    valkey: ValkeyServer, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store.outage), "PAUSE", 60.0)
    valkey.pause()
    visitor.get("/user/")
    valkey.resume()

    refused = visitor.get("/user/")
    monkeypatch.setattr(type(store.outage), "PAUSE", 0.0)
    store.outage.begin()  # and the pause is over
    answer = visitor.get("/user/")

    assert refused.status_code == 503
    assert (answer.status_code, answer.content) == (200, b"anna")


def test_an_idle_timeout_that_cannot_be_extended_spoils_no_response(
    valkey: ValkeyServer, visitor: Client
) -> None:
    visitor.get("/user/")
    valkey.admin.pexpire(valkey.admin.keys("*:identity")[0], 60_000)
    valkey.admin.execute_command("ACL SETUSER", "default", "-pexpire")

    response = visitor.get("/user/")

    valkey.admin.execute_command("ACL SETUSER", "default", "+@all")
    assert (response.status_code, response.content) == (200, b"anna")
