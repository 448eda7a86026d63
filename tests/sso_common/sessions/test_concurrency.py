"""Concurrent requests of one visitor: none loses another's data, and none brings back an ended session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sso_common import store
from sso_common.sessions import SessionStore, UpdateError
from sso_common.tokens import SessionToken
from tests.sso_common.tools import end, has_identity, names_in_redis, sign_in, site_name

from .variants import Do, Mode, SignedIn, save_anonymous, save_session


def test_eight_threads_that_save_different_keys_lose_nothing(mode: Mode) -> None:
    session = save_session(mode, start=1)
    token, key = (session.token, None) if isinstance(mode, SignedIn) else (None, session.session_key)

    def save_a_hundred(thread: int) -> None:
        for number in range(100):
            request = SessionStore(key, token=token)
            request[f"{thread}-{number}"] = number
            request.save()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save_a_hundred, range(8)))

    data = dict(mode.next_request(session).items())
    assert data.pop("start") == 1
    assert data == {f"{thread}-{number}": number for thread in range(8) for number in range(100)}


def test_concurrent_deletion_and_addition_are_both_saved(mode: Mode) -> None:
    session = save_session(mode, doomed=1)
    one, other = mode.next_request(session), mode.next_request(session)
    del one["doomed"]
    other["new"] = 2

    one.save()
    other.save()

    assert dict(mode.next_request(session).items()) == {"new": 2}


def test_save_does_not_restore_a_key_that_another_request_deleted(mode: Mode) -> None:
    session = save_session(mode, doomed=1)
    slow, fast = mode.next_request(session), mode.next_request(session)
    assert slow["doomed"] == 1
    del fast["doomed"]
    fast.save()

    slow["other"] = 2
    slow.save()

    assert dict(mode.next_request(session).items()) == {"other": 2}


def test_clear_also_deletes_what_another_request_added(mode: Mode) -> None:
    session = save_session(mode, a=1)
    clearing, adding = mode.next_request(session), mode.next_request(session)
    assert clearing["a"] == 1
    adding["b"] = 2
    adding.save()

    clearing.clear()
    clearing.save()

    assert dict(mode.next_request(session).items()) == {}


# --- an ended session stays ended ------------------------------------------------------------


def test_save_does_not_resurrect_a_signed_out_session(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    end(token)

    with pytest.raises(UpdateError):
        session.save()

    assert names_in_redis() == set()


async def test_save_does_not_resurrect_a_deleted_anonymous_session(do: Do) -> None:
    session = SessionStore()
    await do(session, "set", "x", 1)
    await do(session, "save")
    slow = SessionStore(session.session_key)
    await do(slow, "set", "x", 2)
    await do(SessionStore(session.session_key), "delete")

    with pytest.raises(UpdateError):
        await do(slow, "save")

    assert names_in_redis() == set()


@pytest.mark.parametrize("verb", ["create", "cycle_key", "flush", "delete"])
def test_no_method_resurrects_a_signed_out_session(token: SessionToken, verb: str) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    end(token)

    try:
        getattr(session, verb)()
        session["b"] = 2
        session.save()
    except UpdateError:
        pass

    assert names_in_redis() == set()


def test_late_save_does_not_reach_the_next_session_of_the_user(token: SessionToken) -> None:
    slow = SessionStore(token=token)
    slow["a"] = "of the first session"
    end(token)
    next_token = sign_in("anna")

    with pytest.raises(UpdateError):
        slow.save()

    assert dict(SessionStore(token=next_token).items()) == {}


def test_adoption_does_not_resurrect_a_signed_out_session(token: SessionToken) -> None:
    key = save_anonymous(cart=[1])
    end(token)
    session = SessionStore(key, token=token)

    assert session["cart"] == [1]
    session["more"] = 1
    session.save()

    assert session.session_key == key
    assert not has_identity(token)
    assert not store.client().exists(site_name(token))
