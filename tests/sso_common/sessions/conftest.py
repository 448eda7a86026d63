"""Fixtures for the session engine: every test has an empty, real Valkey.

A test that takes ``mode`` or ``session`` runs for anonymous and for signed-in visitors. A test that takes
``do`` runs with the sync and with the async methods.
"""

from __future__ import annotations

import pytest

from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import sign_in

from .variants import Anonymous, Async, Do, Mode, SignedIn, Sync


@pytest.fixture(autouse=True)
def _valkey(valkey: ValkeyServer, each_store: None) -> None:
    """An empty Valkey, and both stores."""


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Do:
    return request.param()


@pytest.fixture(params=[Anonymous, SignedIn], ids=["anonymous", "signed-in"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param()


@pytest.fixture
def session(mode: Mode) -> SessionStore:
    return mode.new_session()


@pytest.fixture
def token(valkey: ValkeyServer) -> SessionToken:
    """The session token of a user who is signed in."""
    return sign_in("anna")
