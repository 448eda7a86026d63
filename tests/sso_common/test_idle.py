"""The idle timeout of a session that is used at one site and kept alive by others."""

import pytest
from django.test import Client

from sso_common import store, testing
from tests.sso_common.tools import record_name, site_name, token_of

pytestmark = pytest.mark.django_db

IDLE = 12 * 3600 * 1000


@pytest.fixture
def visitor(valkey) -> Client:
    client = Client()
    testing.sign_in(client, "anna")
    return client


def test_a_sites_data_lives_as_long_as_the_session_that_other_sites_keep_alive(visitor: Client) -> None:
    visitor.get("/put/?cart=mug")
    token = token_of(visitor)
    # Hours of visits to another site, which extends the record and may not extend what is ours.
    store.client().pexpire(site_name(token), 60_000)

    visitor.get("/user/")

    assert store.client().pttl(site_name(token)) > IDLE - 60_000


def test_the_idle_timeout_is_extended_by_the_first_visit_and_then_once_a_minute(visitor: Client) -> None:
    token = token_of(visitor)
    store.client().pexpire(record_name(token), IDLE - 90_000)
    visitor.get("/user/")
    extended = store.client().pexpiretime(record_name(token))

    visitor.get("/user/")

    assert store.client().pttl(record_name(token)) > IDLE - 30_000
    assert store.client().pexpiretime(record_name(token)) == extended


def test_a_site_may_cache_whole_pages(visitor: Client, settings) -> None:
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]

    first, second = visitor.get("/user/"), visitor.get("/user/")

    assert (first.status_code, first.content) == (second.status_code, second.content) == (200, b"anna")
    assert first["Vary"] == "Cookie"
