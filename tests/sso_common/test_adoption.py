"""Adoption is atomic: nothing that Redis acknowledged is lost, and nothing comes back.

A request that resolves a session is a flow, so the tests carry it out step by step and let something
else happen between two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from sso_common import store
from sso_common.sessions import SessionStore
from sso_common.store import Adoption, names
from sso_common.store import sessions as stored_sessions
from sso_common.tokens import SessionToken
from tests.sso_common.tools import anonymous_name, end, has_identity, names_in_redis, sign_in

pytestmark = pytest.mark.usefixtures("valkey", "each_store")

#: Read, claim, the site's hook, adopt, delete.
STEPS = 5


@pytest.fixture(autouse=True)
def server_knows_the_scripts(valkey) -> None:
    _adopted(_anonymous(cart=["x"]), sign_in("warm-up"))
    store.client().flushall()


@pytest.fixture
def token(server_knows_the_scripts) -> SessionToken:
    return sign_in("anna")


def _anonymous(**data: Any) -> str:
    session = SessionStore()
    session.update(data)
    session.save()
    return str(session.session_key)


def _adopted(key: str, token: SessionToken) -> dict[str, Any]:
    """The signed-in visitor's data in their next request."""
    return dict(SessionStore(key, token=token).items())


class Request:
    """A request that resolves its session one step at a time."""

    def __init__(self, key: str, token: SessionToken) -> None:
        self.session = SessionStore(key, token=token)
        self.flow = self.session.resolve_flow()
        self.step: Any = next(self.flow)

    def advance(self) -> bool:
        """Carry out one step. Whether there is another one."""
        try:
            self.step = self.flow.send(self.step() if callable(self.step) else store.ask(self.step))
        except StopIteration:
            return False
        return True

    def finish(self) -> None:
        while self.advance():
            pass


def _interrupted(key: str, token: SessionToken, after: int, event: Callable[[], None]) -> Request:
    """A request in which something else happens after a number of steps."""
    request = Request(key, token)
    is_over = not all(request.advance() for _ in range(after))
    event()
    if not is_over:
        request.finish()
    return request


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_acknowledged_save_during_an_adoption_is_not_lost(token: SessionToken, after: int) -> None:
    key = _anonymous(cart=["mug"])
    other_tab = SessionStore(key)
    other_tab["note"] = "late"
    acknowledged = []

    def save() -> None:
        try:
            other_tab.save()
            acknowledged.append(True)
        except UpdateError:
            pass

    _interrupted(key, token, after, save)

    data = _adopted(key, token)
    assert data["cart"] == ["mug"]
    assert ("note" in data) is bool(acknowledged)


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_crash_during_an_adoption_loses_nothing(token: SessionToken, after: int) -> None:
    key = _anonymous(cart=["mug"])
    request = Request(key, token)
    all(request.advance() for _ in range(after))

    assert _adopted(key, token) == {"cart": ["mug"]}
    assert not store.client().exists(anonymous_name(key))


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_emptied_cart_does_not_come_back_through_a_second_adopter(token: SessionToken, after: int) -> None:
    key = _anonymous(cart=["mug"])

    def check_out() -> None:
        session = SessionStore(key, token=token)
        del session["cart"]
        session.save()

    _interrupted(key, token, after, check_out)

    assert "cart" not in _adopted(key, token)


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_cleared_session_does_not_come_back_through_a_second_adopter(token: SessionToken, after: int) -> None:
    key = _anonymous(cart=["mug"])

    def clear() -> None:
        session = SessionStore(key, token=token)
        session.resolve()
        session.clear()
        session.save()

    _interrupted(key, token, after, clear)

    assert _adopted(key, token) == {}


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_two_tabs_of_a_newcomer_adopt_once(token: SessionToken, after: int) -> None:
    key = _anonymous(cart=["mug"])
    other = SessionStore(key, token=token)

    request = _interrupted(key, token, after, other.resolve)

    assert dict(other.items()) == dict(request.session.items()) == {"cart": ["mug"]}
    assert _adopted(key, token) == {"cart": ["mug"]}


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_sign_out_during_an_adoption_keeps_the_anonymous_session_or_nothing(
    token: SessionToken, after: int
) -> None:
    key = _anonymous(cart=["mug"])

    request = _interrupted(key, token, after, lambda: end(token))

    assert not has_identity(token)
    if not request.session.is_cookie_stale:
        assert store.client().exists(anonymous_name(key))


def test_anonymous_session_is_adopted_by_one_user_only() -> None:
    key = _anonymous(cart=["mug"])
    anna, ben = sign_in("anna"), sign_in("ben")
    slow = Request(key, anna)
    slow.advance()
    slow.advance()  # has claimed it

    assert _adopted(key, ben) == {}

    slow.finish()
    assert _adopted(key, anna) == {"cart": ["mug"]}
    assert _adopted(key, ben) == {}


def test_claim_of_a_crashed_request_expires(token: SessionToken) -> None:
    key = _anonymous(cart=["mug"])
    store.run(store.claim_anonymous(token.sid, key))
    visitor = SessionStore(key)
    visitor["note"] = 1
    with pytest.raises(UpdateError):
        visitor.save()
    claim = names.claim_key(anonymous_name(key))
    assert 0 < store.client().pttl(claim) <= 1000 * stored_sessions.CLAIM_SECONDS

    store.client().delete(claim)  # as when its time is up

    visitor.save()
    assert dict(SessionStore(key).items()) == {"cart": ["mug"], "note": 1}


def test_adoption_never_overwrites_a_value_of_the_session(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["cart"] = ["plate"]
    session.save()

    assert _adopted(_anonymous(cart=["mug"], other=1), token) == {"cart": ["plate"], "other": 1}


def test_adoption_does_not_resurrect_and_keeps_the_anonymous_session(token: SessionToken) -> None:
    key = _anonymous(cart=["mug"])
    end(token)

    assert store.run(store.adopt_anonymous(token.sid, key, {b"cart": b"[1]"}, 100)) is Adoption.ENDED
    assert names_in_redis() == {anonymous_name(key).encode()}


def test_adoption_leaves_no_trace_in_the_session_data(token: SessionToken) -> None:
    session = SessionStore(_anonymous(cart=["mug"]), token=token)

    session["seen"] = 1
    session.save()

    assert dict(SessionStore(token=token).items()) == {"cart": ["mug"], "seen": 1}
