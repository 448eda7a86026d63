"""Fixtures for the tests of a site.

A test that uses ``each_store`` runs twice: with the store of threads, and with the store of event loops. So
both keep the same promises.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sso_common import store
from sso_common.flows import Commands
from sso_common.store import connection


@pytest.fixture(scope="session")
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs as long as the tests."""
    runner = asyncio.Runner()
    loop = runner.get_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    runner.close()


@pytest.fixture(params=["threads", "loop"])
def each_store(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    loop_in_a_thread: asyncio.AbstractEventLoop,
) -> None:
    """Send what a sync test sends by the one store, then by the other."""

    def ask(commands: Commands) -> list[Any]:
        return asyncio.run_coroutine_threadsafe(store.aask(commands), loop_in_a_thread).result()

    if request.param == "loop":
        monkeypatch.setattr(store, "ask", ask)
        monkeypatch.setattr(connection, "ask", ask)
