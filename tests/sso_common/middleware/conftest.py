"""Fixtures for whole requests: every test has the database and an empty, real Valkey."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sso_common import testing
from tests.servers import ValkeyServer


@pytest.fixture(autouse=True)
def _real_services(db: None, valkey: ValkeyServer, each_store: None) -> None:
    """The database, Valkey, and both stores."""


@pytest.fixture
def visitor(client: Client) -> Client:
    """The browser of a user who is signed in and has visited this site before."""
    testing.sign_in(client, "anna")
    client.get("/user/")
    return client


@pytest.fixture
def operator() -> User:
    """A superuser who can sign in at this site with a password."""
    return User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")
