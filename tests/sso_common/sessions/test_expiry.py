"""Django's contract for the expiry of a session."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from sso_common import store
from sso_common.expiry import warn_of_browser_close
from sso_common.sessions import SessionStore
from tests.sso_common.tools import anonymous_name, record_name, site_name

from .variants import Do, Mode, SignedIn

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WEEK = 7 * 86400  # until the identity of the tests expires


async def test_default_expiry_of_an_anonymous_session_is_that_of_the_cookie(do: Do, settings) -> None:
    session = SessionStore()
    settings.SESSION_COOKIE_AGE = 1000

    await do(session, "set_expiry", None)

    assert await do(session, "get_expiry_age") == 1000
    assert await do(session, "get_expiry_date", modification=NOW) == NOW + timedelta(seconds=1000)


@pytest.mark.parametrize(
    "make",
    [
        lambda now: 10,
        lambda now: timedelta(seconds=10),
        lambda now: now + timedelta(seconds=10),
    ],
    ids=["seconds", "timedelta", "datetime"],
)
async def test_set_expiry_accepts_every_type_that_django_does(
    session: SessionStore, do: Do, make: Callable[[datetime], Any]
) -> None:
    session.load_data()
    with time_machine.travel(datetime.now(UTC).replace(microsecond=0), tick=False):
        now = datetime.now(UTC)

        await do(session, "set_expiry", make(now))

        assert session.modified is True
        assert await do(session, "get_expiry_date", modification=now) == now + timedelta(seconds=10)
        assert await do(session, "get_expiry_age", modification=now) == 10


async def test_age_and_date_are_computed_from_any_expiry(session: SessionStore, do: Do) -> None:
    text = (NOW + timedelta(seconds=5)).isoformat()

    assert await do(session, "get_expiry_age", expiry=7) == 7
    assert await do(session, "get_expiry_age", modification=NOW, expiry=NOW + timedelta(1)) == 86400
    assert await do(session, "get_expiry_age", modification=NOW, expiry=text) == 5
    assert await do(session, "get_expiry_date", modification=NOW, expiry=text) == NOW + timedelta(0, 5)


async def test_custom_expiry_is_saved(session: SessionStore, mode: Mode, do: Do) -> None:
    await do(session, "set_expiry", 600)
    await do(session, "save")

    assert await do(mode.next_request(session), "get_expiry_age") == 600


@pytest.mark.parametrize("expiry", [0, None])
async def test_default_expiry_of_a_signed_in_session_is_that_of_the_identity(
    do: Do, expiry: int | None
) -> None:
    session = SignedIn().new_session()

    await do(session, "set_expiry", expiry)

    assert await do(session, "get_expiry_age") == pytest.approx(WEEK, abs=60)
    assert (await do(session, "get_expiry_date")).timestamp() == pytest.approx(time.time() + WEEK, abs=60)


async def test_set_expiry_to_none_restores_the_default(session: SessionStore, do: Do) -> None:
    default = await do(session, "get_expiry_age")
    await do(session, "set_expiry", 10)
    await do(session, "set_expiry", None)

    assert await do(session, "get_expiry_age") == pytest.approx(default, abs=60)


async def test_set_expiry_to_none_by_default_modifies_nothing(session: SessionStore, do: Do) -> None:
    await do(session, "set_expiry", None)

    assert session.modified is False


@pytest.mark.parametrize(
    ("setting", "expiry", "closes"),
    [
        (False, 10, False),
        (False, 0, True),
        (False, None, False),
        (True, 10, False),
        (True, 0, True),
        (True, None, True),
    ],
)
async def test_expire_at_browser_close_follows_setting_and_expiry(
    session: SessionStore, do: Do, settings, setting: bool, expiry: int | None, closes: bool
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = setting

    await do(session, "set_expiry", expiry)

    assert await do(session, "get_expire_at_browser_close") is closes


@pytest.mark.parametrize("seconds", [600, 600.5])
async def test_anonymous_session_expires_in_redis_after_its_expiry(do: Do, seconds: float) -> None:
    session = SessionStore()
    await do(session, "set_expiry", seconds)

    await do(session, "save")

    assert 500_000 < store.client().pttl(anonymous_name(session.session_key)) <= 1000 * seconds


async def test_expiry_in_the_past_deletes_an_anonymous_session(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "foo", "bar")
    await do(session, "save")
    name = anonymous_name(session.session_key)
    assert store.client().exists(name)

    await do(session, "set_expiry", -3600)
    await do(session, "save")

    assert "foo" not in SessionStore(session.session_key)
    assert not store.client().exists(name)


# --- where a user is signed in ---------------------------------------------------------------


@pytest.mark.parametrize("expiry", [600, timedelta(seconds=600)], ids=["seconds", "timedelta"])
async def test_data_of_a_signed_in_session_expires_when_the_site_says_so(do: Do, expiry: Any) -> None:
    session = SignedIn().new_session()
    await do(session, "set_expiry", expiry)

    await do(session, "save")

    assert 500 < store.client().ttl(site_name(session.token)) <= 600
    assert store.client().ttl(record_name(session.token)) > 3600


async def test_data_that_has_expired_is_gone_and_the_user_still_signed_in(do: Do) -> None:
    session = SignedIn().new_session()
    await do(session, "set", "foo", "bar")
    await do(session, "save")
    await do(session, "set_expiry", -3600)

    await do(session, "save")

    later = SessionStore(token=session.token)
    assert await do(later, "get", "foo") is None
    assert later.identity is not None


@pytest.mark.parametrize("expiry", [10 * WEEK, timedelta(weeks=10)], ids=["seconds", "timedelta"])
async def test_no_data_outlives_the_identity(do: Do, expiry: Any) -> None:
    session = SignedIn().new_session()
    await do(session, "set_expiry", expiry)

    await do(session, "save")

    assert await do(session, "get_expiry_age") == pytest.approx(WEEK, abs=60)
    assert (await do(session, "get_expiry_date")).timestamp() == session.identity.exp
    assert store.client().ttl(site_name(session.token)) == pytest.approx(WEEK, abs=60)


@pytest.mark.parametrize("expiry", [10 * WEEK, timedelta(weeks=10)], ids=["seconds", "timedelta"])
async def test_expiry_is_bounded_without_time_zones_too(do: Do, expiry: Any, settings) -> None:
    settings.USE_TZ = False
    session = SignedIn().new_session()
    await do(session, "set_expiry", expiry)

    assert await do(session, "get_expiry_age") == pytest.approx(WEEK, abs=60)
    assert (await do(session, "get_expiry_date")).timestamp() == session.identity.exp


async def test_removed_expiry_lets_the_data_live_as_long_as_the_identity(do: Do) -> None:
    session = SignedIn().new_session()
    await do(session, "set_expiry", 600)
    await do(session, "save")
    later = SessionStore(token=session.token)

    await do(later, "set_expiry", None)
    await do(later, "save")

    assert store.client().ttl(site_name(session.token)) == pytest.approx(WEEK, abs=60)


async def test_expiry_at_browser_close_is_reported_where_the_portal_decides(do: Do, caplog) -> None:
    warn_of_browser_close.cache_clear()
    await do(SessionStore(), "set_expiry", 0)
    assert caplog.text == ""

    for _ in range(2):
        await do(SignedIn().new_session(), "set_expiry", 0)

    assert caplog.text.count("set_expiry(0) has no effect while a user is signed in at the portal") == 1
