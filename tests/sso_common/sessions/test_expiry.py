"""Django's contract for the expiry of a session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from sso_common import store
from sso_common.sessions import SessionStore
from tests.sso_common.tools import anonymous_name, site_name

from .variants import Do, Mode, SignedIn

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def test_default_expiry_is_that_of_the_cookie(session: SessionStore, do: Do, settings) -> None:
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


async def test_set_expiry_to_none_restores_the_default(session: SessionStore, do: Do, settings) -> None:
    await do(session, "set_expiry", 10)
    await do(session, "set_expiry", None)

    assert await do(session, "get_expiry_age") == settings.SESSION_COOKIE_AGE


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


async def test_custom_expiry_does_not_shorten_a_signed_in_session(do: Do) -> None:
    session = SignedIn().new_session()
    await do(session, "set_expiry", 5)
    await do(session, "save")

    assert store.client().ttl(site_name(session.token)) > 3600
