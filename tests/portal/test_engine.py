"""The portal's session engine: a session becomes the one that the portal has just issued."""

from __future__ import annotations

from typing import Any

import pytest

from portal.sessions import services
from portal.sessions.engine import SessionStore
from sso_common import store
from sso_common.tokens import SessionToken

from .people import person


@pytest.fixture
def anna() -> Any:
    return person("anna")


def enter(session: SessionStore, user: Any) -> SessionToken:
    """Issue a session to a user, and let ``session`` become it."""
    token, identity = services.issue(user, amr=["pwd"], remember=False)
    session.enter(token, identity)
    return token


def data_of(token: SessionToken) -> dict[str, Any]:
    return dict(SessionStore(token=token).items())


def test_enter_keeps_the_data_and_deletes_the_anonymous_session(anna: Any) -> None:
    anonymous = SessionStore()
    anonymous.update({"cart": [1], "_csrftoken": "planted", "_auth_user_id": "7"})
    anonymous.save()
    key = anonymous.session_key
    session = SessionStore(key)

    token = enter(session, anna)
    session.save()

    assert session.session_key == token.sid
    assert session.is_cookie_stale
    assert session.identity.sid == token.sid
    assert data_of(token) == {"cart": [1]}
    assert not store.run(store.read_anonymous(key))


def test_enter_as_another_user_starts_with_an_empty_session(anna: Any) -> None:
    session = SessionStore()
    token = enter(session, anna)
    session["private"] = "of anna"
    session.save()

    other = enter(session, person("bert"))
    session.save()

    assert data_of(other) == {}
    assert data_of(token) == {"private": "of anna"}


def test_enter_as_the_same_user_keeps_the_data(anna: Any) -> None:
    session = SessionStore()
    enter(session, anna)
    session["cart"] = [1]
    session.save()

    token = enter(session, anna)
    session.save()

    assert data_of(token) == {"cart": [1]}


def test_enter_clears_an_earlier_refusal(anna: Any) -> None:
    ended = enter(SessionStore(), anna)
    store.client().unlink(store.identity_key("sso", ended.sid))
    session = SessionStore(token=ended)
    assert session.identity is None
    assert session.refusal.reason == "ended"

    enter(session, anna)

    assert session.refusal is None
    assert session.identity.user.username == "anna"
