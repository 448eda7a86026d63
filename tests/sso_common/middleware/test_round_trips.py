"""What a request costs: round trips to Redis, and queries to the database."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.servers import ValkeyServer
from tests.sso_common.tools import counted_commands, counted_trips, sets_no_cookie


def test_page_that_reads_neither_session_nor_user_costs_nothing(
    visitor: Client, django_assert_num_queries
) -> None:
    visitor.cookies["__Host-session"] = "a-cookie-of-an-anonymous-session"

    with counted_trips() as trips, django_assert_num_queries(0):
        response = visitor.get("/")

    assert len(trips) == 0
    assert sets_no_cookie(response)
    assert "Vary" not in response.headers


def test_visitor_without_cookies_costs_nothing(client: Client, django_assert_num_queries) -> None:
    with counted_trips() as trips, django_assert_num_queries(0):
        response = client.get("/user/")

    assert len(trips) == 0
    assert response.content == b"nobody"


@pytest.mark.parametrize("path", ["/show/", "/identity/"])
def test_page_that_reads_the_session_costs_one_round_trip(
    visitor: Client, django_assert_num_queries, path: str
) -> None:
    with counted_trips() as trips, django_assert_num_queries(0):
        response = visitor.get(path)

    assert len(trips) == 1
    assert sets_no_cookie(response)


@pytest.mark.parametrize("path", ["/user/", "/private/", "/swallowing/", "/sso/login/"])
def test_page_that_reads_the_user_costs_one_more_query(
    visitor: Client, django_assert_num_queries, path: str
) -> None:
    with counted_trips() as trips, django_assert_num_queries(1):
        visitor.get(path)

    assert len(trips) == 1


def test_redis_runs_only_three_commands_for_the_user(visitor: Client, valkey: ValkeyServer) -> None:
    with counted_commands(valkey.admin) as calls:
        visitor.get("/user/")

    assert calls == {"get": 1, "pttl": 1, "hgetall": 1}


def test_page_that_changes_the_session_costs_one_more_round_trip(visitor: Client) -> None:
    visitor.get("/put/?a=1")

    with counted_trips() as trips:
        visitor.get("/put/?a=2")

    assert len(trips) == 2


def test_page_that_changes_nothing_writes_nothing(visitor: Client, valkey: ValkeyServer) -> None:
    visitor.get("/put/?a=1")

    with counted_commands(valkey.admin) as calls:
        visitor.get("/show/")

    assert not calls.keys() & {"hset", "evalsha", "eval", "pexpire", "xadd"}
