"""``SessionStore.sign_out``: it ends the session everywhere and leaves an empty one."""

from __future__ import annotations

from sso_common import flows, store
from sso_common.exceptions import UserInactive
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.sso_common.tools import events, has_identity, site_name

from .variants import ask_then


def test_sign_out_ends_the_session_and_leaves_an_empty_one(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    session.save()

    session.sign_out()

    assert not has_identity(token)
    assert not store.client().exists(site_name(token))
    assert session.identity is None
    assert session.is_empty()
    assert len(events("signed_out")) == 1


def test_data_set_after_sign_out_is_saved_in_a_new_anonymous_session(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session["a"] = 1
    session.sign_out()

    session["b"] = 2
    session.save()

    assert dict(SessionStore(session.session_key).items()) == {"b": 2}
    assert session.session_key != token.sid


def test_repeated_sign_out_does_nothing(token: SessionToken) -> None:
    SessionStore().sign_out()
    session = SessionStore(token=token)
    session.sign_out()
    session.sign_out()

    assert len(events("signed_out")) == 1


def test_session_of_a_refused_user_can_be_signed_out(token: SessionToken) -> None:
    session = SessionStore(token=token)
    session.resolve()
    session.refuse(UserInactive())
    assert session.identity is None

    session.sign_out()

    assert not has_identity(token)


def test_slow_read_does_not_undo_a_concurrent_sign_out(token: SessionToken) -> None:
    """Two coroutines of one request."""
    session = SessionStore(token=token)

    flows.run(session.resolve_flow(), ask_then(session.sign_out))

    assert session.identity is None
    assert session.is_empty()
