"""Requests and ``sso_sync`` write users at the same time, and wait for nothing but each other's subjects.

Each view here runs in one transaction, as every view does with ``ATOMIC_REQUESTS``: what it locks stays
locked until it ends.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from sso_common import sync, testing
from sso_common.feed import FeedPage
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot
from sso_common.users import find_drift, upsert_users
from tests.databases import ALIAS, Worker
from tests.timing import WAIT, until

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("valkey")]

#: SQLite has one lock for all of a database.
with_row_locks = pytest.mark.parametrize(
    "real",
    [
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
    indirect=True,
)

View = Callable[[Any], object]
_views: dict[str, View] = {}
_numbers = itertools.count()


@transaction.atomic(using=ALIAS)
def view(request: HttpRequest) -> HttpResponse:
    _views[request.GET["view"]](request)
    return HttpResponse(request.user.get_username())


urlpatterns = [path("", view)]


def visit(
    username: str,
    view: View = lambda request: None,
    *,
    start: threading.Barrier | None = None,
    claims: dict[str, Any] | None = None,
) -> Worker:
    """Request a view as this user, in a thread, once all are at ``start``. ``result()`` is (status, body)."""
    client, key = Client(raise_request_exception=False), str(next(_numbers))
    testing.sign_in(client, username, **(claims or {}))
    _views[key] = view

    def get() -> tuple[int, str]:
        if start is not None:
            start.wait(WAIT)
        response = client.get("/", {"view": key})
        return response.status_code, response.text

    return Worker(get)


def person(username: str, version: int = 1, /, **fields: Any) -> UserSnapshot:
    known = {"sub": testing.subject(username), "username": username, "email": f"{username}@example.com"}
    return UserSnapshot(version=version, **{**known, **fields})


def users() -> dict[str, str]:
    """{username: first name} of the synced users."""
    return dict(User.objects.exclude(sso_account=None).values_list("username", "first_name"))


def meet(barrier: threading.Barrier) -> View:
    """A view that uses ``request.user``, and ends only when all others have done the same."""

    def view(request: Any) -> None:
        assert request.user.is_authenticated
        barrier.wait(WAIT / 4)

    return view


# --- no user waits for another one's view ----------------------------------------------------------


@with_row_locks
@pytest.mark.parametrize("is_known", [False, True], ids=["first visit", "changed record"])
def test_no_user_waits_for_the_view_of_another(real: str, is_known: bool) -> None:
    names = [f"u{number}" for number in range(4)]
    upsert_users([person(name) for name in names if is_known])
    Group.objects.get_or_create(name="Editors")
    barrier = threading.Barrier(len(names))

    claims = {"version": 2, "first_name": "New", "roles": ["editor"]}
    visits = [visit(name, meet(barrier), claims=claims) for name in names]

    assert [each.result() for each in visits] == [(200, name) for name in names]
    assert users() == dict.fromkeys(names, "New")


@with_row_locks
def test_first_visit_does_not_wait_for_sso_sync(real: str) -> None:
    barrier = threading.Barrier(2)

    def sync_slowly() -> None:
        with transaction.atomic(using=ALIAS):
            sync.apply_page(FeedPage((person("ada"),), 1, more=False, head=1), 0)
            barrier.wait(WAIT / 4)

    working = Worker(sync_slowly)

    assert visit("ben", meet(barrier)).result() == (200, "ben")
    working.result()


@with_row_locks
def test_view_with_locks_of_its_own_is_no_deadlock(real: str) -> None:
    Group.objects.create(name="Choir")
    has_user, has_lock = threading.Event(), threading.Event()

    def lock() -> None:
        Group.objects.select_for_update().get(name="Choir")

    def user_first(request: Any) -> None:
        assert request.user.is_authenticated
        has_user.set()
        assert has_lock.wait(WAIT)
        lock()

    def lock_first(request: Any) -> None:
        lock()
        has_lock.set()
        assert has_user.wait(WAIT)
        assert request.user.is_authenticated

    visits = [visit("ada", user_first), visit("ben", lock_first)]

    assert [each.result() for each in visits] == [(200, "ada"), (200, "ben")]


@with_row_locks
def test_no_user_waits_for_sso_sync_that_waits_for_the_view_of_another(real: str) -> None:
    names = ["ben", "ada", "cleo"]
    upsert_users([person("ada")])
    has_user, may_end = threading.Event(), threading.Event()

    def slow(request: Any) -> None:
        assert request.user.is_authenticated
        has_user.set()
        assert may_end.wait(WAIT)

    viewing = visit("ada", slow, claims={"version": 2, "first_name": "New"})
    assert has_user.wait(WAIT)
    page = tuple(person(name, version, first_name="New") for version, name in enumerate(names, 2))
    syncing = Worker(lambda: sync.apply_page(FeedPage(page, 4, more=False, head=4), 0))
    Worker(wait_until_somebody_waits_for_a_lock).result()

    claims = {"version": 9, "first_name": "Newer"}
    others = [visit(name, claims=claims).result(WAIT / 2) for name in ("ben", "cleo")]
    may_end.set()

    assert others == [(200, "ben"), (200, "cleo")]
    assert viewing.result() == (200, "ada")
    assert syncing.result().failed == ()
    assert users() == {"ada": "New", "ben": "Newer", "cleo": "Newer"}
    assert FeedCursor.load().position == 4


# --- one subject -----------------------------------------------------------------------------------


def test_concurrent_first_visits_of_one_person_create_one_user(real: str) -> None:
    for name in ("ada", "ben", "cleo"):
        start = threading.Barrier(4)

        visits = [visit(name, start=start) for _ in range(4)]

        assert [each.result() for each in visits] == [(200, name)] * 4
    assert User.objects.count() == Account.objects.count() == 3


def test_newest_record_of_concurrent_visits_stays(real: str) -> None:
    for name, first in (("ada", 1), ("ben", 1), ("cleo", 2), ("dora", 2)):
        if first > 1:
            upsert_users([person(name)])
        start = threading.Barrier(4)

        visits = [
            visit(name, start=start, claims={"version": number, "first_name": f"{number}"})
            for number in range(first, first + 4)
        ]

        assert [each.result() for each in visits] == [(200, name)] * 4
        assert users()[name] == str(first + 3)


@with_row_locks
def test_second_visit_provisions_the_user_where_the_view_of_the_first_fails(real: str) -> None:
    has_user = threading.Event()

    def fail(request: Any) -> None:
        assert request.user.is_authenticated
        has_user.set()
        raise RuntimeError("a fault of the site")

    first = visit("ada", fail)
    assert has_user.wait(WAIT)

    assert visit("ada").result() == (200, "ada")
    assert first.result()[0] == 500


# --- names in flight -------------------------------------------------------------------------------


def test_two_users_swap_names_in_two_requests_and_a_page_of_the_feed(real: str) -> None:
    upsert_users([person("ada"), person("ben")])
    for version in range(10, 50, 10):
        names = ["ben", "ada"] if version % 20 else ["ada", "ben"]
        page = [
            person("ada", version, username=names[0], first_name="A"),
            person("ben", version + 1, username=names[1], first_name="B"),
        ]
        start = threading.Barrier(3)

        def apply(page: list[UserSnapshot] = page, start: threading.Barrier = start) -> None:
            start.wait(WAIT)
            position = FeedCursor.load().position
            sync.apply_page(FeedPage(tuple(page), page[-1].version, more=False, head=99), position)

        work = [Worker(apply)]
        for each in page:
            claims = {field: getattr(each, field) for field in ("sub", "version", "first_name", "email")}
            work.append(visit(each.username, start=start, claims=claims))

        assert [each.result() for each in work[1:]] == [(200, names[0]), (200, names[1])]
        work[0].result()
        assert users() == {names[0]: "A", names[1]: "B"}
        assert find_drift(page) == []


# --- transactions that the database ends -----------------------------------------------------------


def wait_until_somebody_waits_for_a_lock() -> None:
    """Return when a transaction of the server waits for another one."""
    if connections[ALIAS].vendor == "mysql":
        query = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    else:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def is_waiting() -> bool:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(query)
            return bool(cursor.fetchone()[0])

    until(is_waiting, every=0.2)  # MariaDB looks again only if nobody has asked for 0.1 s


def hold(first: QuerySet[Any], then: QuerySet[Any], is_held: threading.Event) -> None:
    """Lock one row, then another that somebody has who waits for the first, and survive the deadlock."""
    with transaction.atomic(using=ALIAS):
        if connections[ALIAS].vendor == "mysql":
            # MariaDB ends the transaction that has written less.
            Group.objects.bulk_create([Group(name=f"g{number}") for number in range(200)])
        else:
            # PostgreSQL ends the transaction that is the first to look for a deadlock.
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("SET LOCAL deadlock_timeout = '60s'")
        first.select_for_update().get()
        is_held.set()
        Worker(wait_until_somebody_waits_for_a_lock).result()
        then.select_for_update().get()


@with_row_locks
def test_sso_sync_tries_again_after_a_deadlock_with_the_site(real: str) -> None:
    upsert_users([person("ada"), person("ben")])
    is_held = threading.Event()
    user = User.objects.filter(username="ben")
    site = Worker(lambda: hold(user, Account.objects.filter(user__username="ada"), is_held))
    assert is_held.wait(WAIT)

    page = (person("ada", 2, first_name="A"), person("ben", 3, first_name="B"))
    result = Worker(lambda: sync.apply_page(FeedPage(page, 3, more=False, head=3), 0)).result()

    site.result()
    assert (result.updated, result.failed) == (2, ())
    assert users() == {"ada": "A", "ben": "B"}
    assert FeedCursor.load().position == 3


@with_row_locks
def test_request_whose_own_locks_are_in_the_way_gets_a_503(real: str) -> None:
    upsert_users([person("ada")])
    Group.objects.create(name="Choir")
    choir = Group.objects.filter(name="Choir")
    is_held = threading.Event()

    def lock_first(request: Any) -> None:
        choir.select_for_update().get()
        assert request.user.is_authenticated

    site = Worker(lambda: hold(Account.objects.all(), choir, is_held))
    assert is_held.wait(WAIT)

    status, _text = visit("ada", lock_first, claims={"version": 2, "first_name": "New"}).result()

    site.result()
    assert status == 503
    assert visit("ada", claims={"version": 2, "first_name": "New"}).result() == (200, "ada")
    assert users() == {"ada": "New"}
