"""Fixtures for the stories: one topology for all of them, one browser a file, new visitors at will.

- ``topology``: started once; before each test everything in it is well again. See topology.py.
- ``new_visitor()``: a person with a browser profile of her own; returns her Playwright page.
- ``page``: the one visitor, where one is enough.

The browser is one a file and not one a run: while Playwright's synchronous interface is open, no other
test in the process could use asyncio or Django's ORM.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import need_program
from tests.stories.topology import StoryTopology, story_topology

BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in this folder is a story; with pytest-xdist, one worker runs all of them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.story)
            item.add_marker(pytest.mark.xdist_group("stories"))


@pytest.fixture(scope="session")
def started_topology() -> Iterator[StoryTopology]:
    with tempfile.TemporaryDirectory(prefix="sso-story-") as folder, story_topology(Path(folder)) as topology:
        yield topology


@pytest.fixture
def topology(started_topology: StoryTopology) -> Iterator[StoryTopology]:
    started_topology.restore()
    yield started_topology
    started_topology.restore()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = need_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_visitor(browser: Browser) -> Iterator[Callable[[], Page]]:
    contexts: list[BrowserContext] = []

    def visitor() -> Page:
        context = browser.new_context(locale="en-GB")
        context.set_default_timeout(10_000)
        contexts.append(context)
        return context.new_page()

    yield visitor
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_visitor: Callable[[], Page]) -> Page:
    return new_visitor()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the parts' logs with a story that failed."""
    report = yield
    topology = getattr(item, "funcargs", {}).get("topology")
    if report.failed and topology is not None:
        report.sections += [(f"log of {name}", log) for name, log in topology.logs().items() if log]
    return report
