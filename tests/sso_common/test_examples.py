"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

#: Modules of which a site's developer uses something.
MODULES = ["adoption", "backends", "snapshot", "testing", "users.mapper"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_work(name: str) -> None:
    module = importlib.import_module(f"sso_common.{name}")

    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)

    assert result.attempted
    assert not result.failed
