"""Fixtures for the products: the topology of the stories, with real products beside its sites.

The products are installed once, into environments of their own beside the one that runs the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories.conftest import (
    browser,
    hashes,
    new_person,
    new_visitor,
    pytest_runtest_makereport,
    shell,
    shells,
    started_topology,
    topology,
    visitor,
)

__all__ = [
    "browser",
    "hashes",
    "new_person",
    "new_visitor",
    "pytest_runtest_makereport",
    "shell",
    "shells",
    "started_topology",
    "topology",
    "visitor",
]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as a story. With pytest-xdist, one worker runs all of them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.story)
            item.add_marker(pytest.mark.xdist_group("products"))
