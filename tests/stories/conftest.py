"""Fixtures for the stories: one topology for all stories, one browser for each file.

- ``topology``: started once, and restored before and after each story. See topology.py.
- ``new_person(first_name="Mia", ...)``: creates a user at the portal; see people.py.
- ``new_visitor()``: a ``Visitor`` with its own browser profile and a Playwright ``page``.
- ``visitor``: one visitor, for stories that need no other.
- ``shell("portal")``: runs Python inside a project; see shell.py.

A browser for the whole run would not do: while Playwright's synchronous interface is open, no other test
of the process can use asyncio or Django's ORM.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.conftest import need_program
from tests.stories.people import Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology, story_topology
from tests.timing import WAIT

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
    """Mark every test of this folder as a story. With pytest-xdist, one worker runs all stories."""
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
    # All visitors come from one address and would reach the portal's rate limits.
    for key in started_topology.redis.scan_iter(f"{started_topology.options.namespace}:portal-cache:*"):
        started_topology.redis.delete(key)
    yield started_topology
    started_topology.restore()


@pytest.fixture(scope="session")
def shells(started_topology: StoryTopology) -> Iterator[dict[str, Shell]]:
    started: dict[str, Shell] = {}
    yield started
    for each in started.values():
        each.close()


def open_shell(topology: StoryTopology, shells: dict[str, Shell], project: str) -> Shell:
    """Return the project's shell, a new one where the project's environment has changed."""
    environment = topology.environment(project)
    if project in shells and shells[project].environment != environment:
        shells.pop(project).close()
    if project not in shells:
        shells[project] = Shell(project, environment)
    return shells[project]


@pytest.fixture
def shell(topology: StoryTopology, shells: dict[str, Shell]) -> Callable[[str], Shell]:
    def shell(project: str) -> Shell:
        return open_shell(topology, shells, project)

    return shell


@pytest.fixture(scope="session")
def hashes() -> dict[str, str]:
    """Password -> hash. Computing a hash takes longer than everything else a new person needs."""
    return {}


@pytest.fixture
def new_person(shell: Callable[[str], Shell], hashes: dict[str, str]) -> Callable[..., Person]:
    def person(
        first_name: str = "Mia", *, username: str = "", roles: dict[str, str] | None = None, **fields: Any
    ) -> Person:
        number = next(_NUMBERS)
        username = username or f"{first_name.lower()}{number}"
        person = Person("", username, f"{username}@example.com", f"{first_name} Story{number}")
        if person.password not in hashes:
            source = "from django.contrib.auth.hashers import make_password; make_password(password)"
            hashes[person.password] = shell("portal")(source, password=person.password)
        sub = shell("portal")(
            """
            from allauth.account.models import EmailAddress
            from portal.registry import services
            user = User(username=username, email=email, password=password, **fields)
            user.save()
            EmailAddress.objects.create(user=user, email=email, verified=user.email_verified, primary=True)
            for site, role in roles.items():
                services.give_role(user, site, role)
            user.pk
            """,
            username=person.username,
            email=person.email,
            password=hashes[person.password],
            fields={
                "first_name": first_name,
                "last_name": f"Story{number}",
                "email_verified": True,
                **fields,
            },
            roles=roles or {},
        )
        return replace(person, sub=sub)

    return person


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = need_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=BROWSER_ARGUMENTS, timeout=1000 * WAIT
        )
        yield browser
        browser.close()


@pytest.fixture
def new_visitor(browser: Browser, topology: StoryTopology) -> Iterator[Callable[[], Visitor]]:
    contexts: list[BrowserContext] = []

    def visitor() -> Visitor:
        context = browser.new_context(locale="en-GB")
        context.set_default_timeout(1000 * WAIT)
        contexts.append(context)
        return Visitor(context.new_page(), topology)

    yield visitor
    for context in contexts:
        context.close()


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    return new_visitor()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ends of the parts' logs to the report of a story that failed."""
    report = yield
    topology = getattr(item, "funcargs", {}).get("topology")
    if report.failed and topology is not None:
        report.sections += [(f"log of {name}", log) for name, log in topology.logs().items() if log]
    return report
