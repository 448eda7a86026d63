"""What the documents name exists: files, tests, ``make`` targets, ``manage.py`` commands, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"])
#: Documents that name files of this repository in code spans.
MAPS = ("CONTRIBUTING.md", "docs/architecture.md", "docs/promises.md", "README.md")
#: A word as code, or a line of a code block.
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: What Django looks for by its name.
NOT_IN_THE_STORY = {"__init__", "admin", "apps", "migrations", "urls"}
#: Commands of Django that the documents name.
STOCK = {"check", "migrate", "createsuperuser", "makemigrations", "test"}


def code_of(document: str) -> Iterator[str]:
    """The code spans and code blocks of a document."""
    for span in CODE.findall((ROOT / document).read_text()):
        yield " ".join(span.strip("`").split())


def missing_paths(document: str) -> list[str]:
    """Paths in code spans that do not exist. A path has a slash and a folder of this repository first."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    words = chain.from_iterable(span.split() for span in code_of(document))
    paths = {word.strip("\"'").partition("::")[0] for word in words}
    return sorted(
        path for path in paths if "/" in path and path.split("/")[0] in folders and not (ROOT / path).exists()
    )


@pytest.mark.parametrize("document", MAPS)
def test_named_files_exist(document: str) -> None:
    assert missing_paths(document) == []


def test_named_tests_exist() -> None:
    names = re.findall(r"([\w/]+\.py)::(\w+)", (ROOT / "docs" / "promises.md").read_text())

    missing = [f"{path}::{name}" for path, name in names if f"def {name}(" not in (ROOT / path).read_text()]

    assert missing == []


def modules() -> set[str]:
    """The modules and packages at the top of ``sso_common``."""
    folder = ROOT / "sso_common"
    return {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }


def test_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(
        re.findall(r"`(\w+)/?`", " ".join(re.findall(r"^\|[^|]*\|((?: `\w+/?`)+) \|", text, re.MULTILINE)))
    )

    assert named - modules() == set()
    assert modules() - named - NOT_IN_THE_STORY == set()


def test_reading_order_names_every_module() -> None:
    text = (ROOT / "sso_common" / "__init__.py").read_text().partition("The modules in reading order")[2]
    named = set(re.findall(r"``(\w+)``", text))

    assert named - modules() == set()
    assert modules() - named - NOT_IN_THE_STORY == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", " ".join(code_of(document))))

    assert named - targets == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/checks.md"])
def test_management_commands_exist(document: str) -> None:
    commands = {path.stem for path in ROOT.glob("*/**/management/commands/*.py")}
    named = set(re.findall(r"manage\.py (\w+)", " ".join(code_of(document))))

    assert named - commands - STOCK == set()


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def is_broken(document: Path, link: str) -> bool:
    """Whether a link leads to no file or no heading of this repository."""
    path, _, fragment = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return True
    headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if target.suffix == ".md" else []
    return bool(fragment) and fragment not in map(anchor, headings)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]

    assert [link for link in links if is_broken(document, link)] == []
