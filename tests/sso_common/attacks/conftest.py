"""Attacks on a site, from outside: each test is named as one, and none may succeed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import sign_in


@pytest.fixture(autouse=True)
def _real_services(db: None, valkey: ValkeyServer) -> None:
    """The database and an empty Valkey."""


@pytest.fixture
def victim(valkey: ValkeyServer) -> SessionToken:
    """The session token of a user with private data and the staff role."""
    token = sign_in("anna", roles=["staff"])
    session = SessionStore(token=token)
    session["private"] = "of anna"
    session.save()
    return token


@pytest.fixture
def operator() -> User:
    """A superuser who can sign in at this site with a password."""
    return User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")
