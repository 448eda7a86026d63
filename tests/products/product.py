"""A real product that became a site by following its page in docs/adding-a-site.

What a test can use:

- ``product.manage("sso_doctor")`` runs a management command and returns its output; ``product.command(...)``
  also returns its status.
- ``product.shell("print(1)")`` runs Python inside the product and returns what it prints.
- ``topology.urls[product.name]`` is its address.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import hashlib
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from demo.options import ROOT
from demo.ports import free_port
from demo.projects import inherit
from demo.virtualenv import STAMP
from tests.products.page import Block, blocks
from tests.stories.topology import StoryTopology


@dataclass
class Product:
    """A product's project in ``folder``; ``manage_py`` runs its management commands.

    ``requirements`` names the file in requirements/ with its packages.
    """

    topology: StoryTopology
    name: str
    requirements: str
    folder: Path
    manage_py: Sequence[str] = ("manage.py",)
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def virtualenv(self) -> Path:
        """The product's virtual environment, beside the one that runs the tests."""
        return Path(f"{sys.prefix}-{self.requirements}")

    @property
    def python(self) -> Path:
        """The Python that has the product's packages."""
        return self.virtualenv / "bin" / "python"

    @property
    def url(self) -> str:
        """The address in the browser."""
        return f"http://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """The host name in the browser."""
        return f"{self.name}.{self.topology.options.domain}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all processes of the product."""
        own = {
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(self.folder.parent / "packages")]),
            "SSO_DSN": self.topology.dsns.get(self.name, ""),
            # Names under localhost resolve in browsers only.
            "SSO_PORTAL_INTERNAL_URL": f"http://127.0.0.1:{self.topology.options.portal_port}",
        }
        return inherit(own | self.variables)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the product's Python in the project's folder."""
        return subprocess.run(
            [self.python, *command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command; return its status, standard output and standard error."""
        return self.run(*self.manage_py, *arguments)

    def manage(self, *arguments: str) -> str:
        """Run a management command; return its output."""
        return self.succeed(*self.manage_py, *arguments)

    def succeed(self, *command: str | Path) -> str:
        """Run the product's Python; return its output. Fails if the command does."""
        done = self.run(*command)
        if done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def shell(self, source: str) -> str:
        """Run Python inside the product; return what it prints."""
        return self.manage("shell", "-v", "0", "-c", source).strip()

    def follow(self, page: Sequence[Block]) -> None:
        """Do what the page says."""
        for block in page:
            if not block.is_commands:
                block.write(self.folder)
            for words in block.commands if block.is_commands else ():
                self.execute(block.title, words)

    def execute(self, place: str, words: list[str]) -> None:
        """Run one command of the page at its place."""
        if place == "at the portal":
            assert words[0] == "manage.py"
            output = self.topology.manage("portal", *words[1:])
            if words[1:3] == ["sso_site", "add"]:
                self.topology.dsns[self.name] = output.strip()
        elif words[0] == "export":
            name, _, value = words[1].partition("=")
            self.variables[name] = value
        elif place == "at the site":
            assert words[: len(self.manage_py) + 1] == ["python", *self.manage_py]
            self.succeed(*words[1:])
        else:
            assert place == "at the site, as a service"
            self.start(words[-2], *words[1:])

    def start(self, name: str, *command: str) -> None:
        """Start a long-running process of the product."""
        self.topology.start_part(
            f"{self.name}-{name}", [self.python, *command], self.environment, self.folder
        )

    def serve(self) -> None:
        """Start the product's web server, and return when it answers."""
        address = f"127.0.0.1:{self.port}"
        self.topology.addresses[self.name] = self.url
        self.topology.start_part(
            self.name,
            [self.python, *self.manage_py, "runserver", "--noreload", address],
            self.environment,
            self.folder,
        )
        self.topology.eventually(self.is_answering)

    def is_answering(self) -> bool:
        """Return whether the web server answers."""
        with contextlib.suppress(OSError):
            return self.topology.get(self.name, "/sso/health/").status == 200
        return False


@contextmanager
def as_site(
    product: Product, create: Callable[[Product], None], page: str, address: str
) -> Iterator[Product]:
    """Create a product's project, make it a site of the topology as its page says, and serve it.

    ``create`` makes the project in an empty folder, as the product's documentation says, with its tables.
    """
    install(product)
    copy_project(product, create)
    packages = product.folder.parent / "packages"
    packages.mkdir()
    (packages / "sso_common").symlink_to(ROOT / "sso_common")
    product.follow(blocks(page, address, product.url))
    product.serve()
    try:
        yield product
    finally:
        own = [name for name in product.topology.parts if name.startswith(product.name)]
        product.topology.stop_parts(*own)


def install(product: Product) -> None:
    """Install a product's packages, if they are not installed yet."""
    requirements = ROOT / "requirements" / f"{product.requirements}.txt"
    # Not the Python of this environment: its packages must not be seen.
    python = Path(sys.executable).resolve()
    with Path(f"{product.virtualenv}.lock").open("w") as lock:  # the workers of pytest-xdist share it
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [python, ROOT / "demo" / "virtualenv.py", product.virtualenv, requirements], check=True
        )


def copy_project(product: Product, create: Callable[[Product], None]) -> None:
    """Copy a project that ``create`` has made into the product's folder.

    Creating takes longer than all tests of a product, so the project is kept with the installed packages,
    until they or the source of ``create`` change.
    """
    recipe = Path(inspect.getfile(create)).read_bytes()
    key = hashlib.sha256((product.virtualenv / STAMP).read_bytes() + recipe).hexdigest()[:16]
    kept = product.virtualenv / "projects" / f"{product.name}-{key}"
    if not kept.exists():
        # On a busy machine it takes longer than pytest lets a test take. Each command has its own limit.
        faulthandler.cancel_dump_traceback_later()
        with tempfile.TemporaryDirectory(dir=product.virtualenv) as folder:
            new = replace(product, folder=Path(folder, "project"), variables={})
            new.folder.mkdir()
            create(new)
            kept.parent.mkdir(exist_ok=True)
            new.folder.rename(kept)
    shutil.copytree(kept, product.folder)
