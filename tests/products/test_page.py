"""The pages of docs/adding-a-site are followed word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.products import page
from tests.products.page import Block, blocks


def test_a_test_follows_each_page() -> None:
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))

    missing = [
        file.stem for file in page.FOLDER.glob("*.md") if f'projects.{file.stem}, "{file.stem}"' not in tests
    ]

    assert missing == []


def test_every_code_block_says_what_to_do_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.md").write_text("```python\nLOGIN_URL = 1\n```\n")
    monkeypatch.setattr(page, "FOLDER", tmp_path)

    with pytest.raises(AssertionError, match=r"A code block of shop\.md lacks its first line"):
        blocks("shop", "https://shop.example.com", "http://shop.localhost:1")


def test_a_block_adds_to_a_file_that_the_project_has_or_makes_a_new_one(tmp_path: Path) -> None:
    new, more = Block("python", "urls.py", "a = 1\n"), Block("python", "urls.py, at the end", "b = 2\n")

    with pytest.raises(AssertionError, match="disagree"):
        more.write(tmp_path)
    new.write(tmp_path)
    more.write(tmp_path)
    with pytest.raises(AssertionError, match="disagree"):
        new.write(tmp_path)

    assert (tmp_path / "urls.py").read_text() == "a = 1\n\nb = 2\n"
