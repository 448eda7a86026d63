"""A store that cannot answer is an error, never an empty session."""

from __future__ import annotations

import pytest

from sso_common import store
from sso_common.exceptions import StoreUnavailable
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import counted_trips

READS_AND_WRITES = {
    "identity": lambda session: session.identity,
    "get": lambda session: session.get("a"),
    "session_key": lambda session: session.session_key,
    "save": lambda session: session.save(),
    "flush": lambda session: session.flush(),
    "sign_out": lambda session: session.sign_out(),
    "cycle_key": lambda session: session.cycle_key(),
    "exists": lambda session: session.exists("some-session-key"),
}


@pytest.mark.parametrize("act", READS_AND_WRITES.values(), ids=READS_AND_WRITES)
def test_unavailable_store_raises_and_is_never_an_empty_session(
    token: SessionToken, valkey: ValkeyServer, act
) -> None:
    valkey.kill()
    session = SessionStore(token=token)

    with pytest.raises(StoreUnavailable):
        act(session)

    assert session.unavailable is not None


def test_request_does_not_try_an_unavailable_store_again(token: SessionToken, valkey: ValkeyServer) -> None:
    session = SessionStore(token=token)
    with counted_trips() as trips:
        valkey.pause()
        with pytest.raises(StoreUnavailable):
            session.get("a")
        sent = len(trips)
        valkey.resume()
        store.outage.end()  # from here on, other requests reach Redis

        with pytest.raises(StoreUnavailable):
            session.get("a")

    assert sent > 0
    assert len(trips) == sent
