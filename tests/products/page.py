"""Reads a page of docs/adding-a-site and does what it says, to a fresh project of the product.

A page has two kinds of code blocks:

- Code for a file. The first line is a comment that names the file: ``# mysite/settings/sso.py`` is a new one,
  ``# mysite/urls.py, at the end`` adds to one that the project has.
- Commands (``sh``). The first line says where they run: ``# at the portal``, ``# at the site``, or ``# at the
  site, as a service``. ``export NAME=value`` sets a variable for the commands after it, and for the services.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.options import ROOT

FOLDER = ROOT / "docs" / "adding-a-site"
BLOCK = re.compile(r"^```(\w*)\n# ([^\n]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```\w+$", re.MULTILINE)
AT_THE_END = ", at the end"


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: what its first line says, and the lines below it."""

    language: str
    title: str
    text: str

    @property
    def is_commands(self) -> bool:
        """Whether these are commands; otherwise it is code for a file."""
        return self.language == "sh"

    @property
    def commands(self) -> Iterator[list[str]]:
        """Each command as a list of words, without comments."""
        for line in self.text.splitlines():
            if words := shlex.split(line, comments=True):
                yield words

    def write(self, project: Path) -> None:
        """Change the project's file as the page says."""
        path = project / self.title.removesuffix(AT_THE_END)
        is_change = self.title.endswith(AT_THE_END)
        assert path.exists() == is_change, f"{self.title}: the page and the project disagree on {path}."
        before = path.read_text() + "\n" if is_change else ""
        path.write_text(before + self.text)


def blocks(name: str, address: str, origin: str) -> list[Block]:
    """Return the code blocks of a page in order, with the ``origin`` of the site for its example address."""
    text = (FOLDER / f"{name}.md").read_text()
    found = [Block(*match) for match in BLOCK.findall(text)]
    assert len(found) == len(FENCE.findall(text)), f"A code block of {name}.md lacks its first line."
    return [Block(each.language, each.title, each.text.replace(address, origin)) for each in found]
