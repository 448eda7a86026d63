"""The real topology for the stories: the one that ``make demo`` starts, on free ports, with new data.

What a story needs to know:

- ``topology.urls["portal"]``, ``["site_a"]``, ``["site_b"]``: the addresses, without a final slash.
- ``topology.parts[name]`` is a process: ``redis``, ``portal``, ``site_a``, ``site_b``, ``sync_a`` or
  ``sync_b``; ``.stop()`` is SIGTERM, ``.kill()`` -9, ``.pause()`` SIGSTOP, ``.resume()`` SIGCONT.
- ``topology.restart(name)`` starts a part again and returns when it answers.
- ``topology.reconfigure("portal", SSO_SIGNING_KEYS="2,1")`` changes a project's environment and restarts it.
- ``topology.manage("portal", "sso_site", "list")`` runs a management command and returns what it printed;
  ``topology.command(...)`` returns its status, too.
- ``topology.redis`` is a connection that may do everything: look there, never write what a part would write.
- ``topology.get("site_a", "/path", cookies={...})`` asks a server without a browser, and follows no redirect.
- ``topology.eventually(lambda: ...)`` waits, with a limit, for something that arrives through the feed.
- After each test ``restore()`` brings back whatever it has stopped; data stays: make people of your own.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import redis

from demo.options import ROOT, Options, options
from demo.ports import free_port
from demo.topology import Topology
from demo.valkey import wait_until_ready
from tests.timing import WAIT

_SERVERS = ("portal", "site_a", "site_b")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: ``headers`` finds names in any case, ``headers.get_all`` finds all cookies."""

    status: int
    headers: Message
    body: str


class StoryTopology(Topology):
    """``demo.topology.Topology`` with what the stories do to it; see the module's docstring."""

    redis: redis.Redis

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._changed: dict[str, dict[str, str]] = {}

    @property
    def urls(self) -> dict[str, str]:
        """Part -> its address as browsers see it."""
        return self.options.urls

    def start(self) -> None:
        super().start()
        self.redis = redis.Redis.from_url(self.operator_url, decode_responses=True)
        self._keep_writes()

    def _keep_writes(self) -> None:
        """Write at once also on a slow disk; otherwise Redis loses what it has answered when it is killed."""
        self.redis.config_set("appendfsync", "no")

    def environment(self, project: str) -> dict[str, str]:
        return super().environment(project) | self._changed.get(project, {})

    def reconfigure(self, project: str, *, dsn: str = "", **environment: str) -> None:
        """Change a project's environment, for good, and restart its processes; ``dsn`` is a site's own."""
        if dsn:
            self.dsns[project] = dsn
        self._changed.setdefault(project, {}).update(environment)
        for name in (project, project.replace("site", "sync")):
            if name in self.parts:
                self.parts[name].environment = self.environment(project)
                self.restart(name)

    def restart(self, name: str) -> None:
        """Start a part (again), and return when it answers."""
        self.parts[name].kill()
        self.parts[name].start()
        if name == "redis":
            wait_until_ready(self.operator_url, self.parts[name].is_running).close()
            self._keep_writes()
        if name in _SERVERS:
            self.wait_until_answering(name)

    def wait_until_answering(self, name: str) -> None:
        """Return when a server answers at all, be it well or not."""
        self.eventually(lambda: isinstance(self.health(name), int))

    def restore(self) -> None:
        """Bring back every part that is stopped, dead or paused; return when all is well."""
        for name, part in self.parts.items():
            part.resume()
            if not part.is_running():
                self.restart(name)
        self.wait_until_ready(_SERVERS)

    def manage(self, project: str, *arguments: str) -> str:
        """Run a management command of a project in its own environment; return its output."""
        done = self.command(project, *arguments)
        if done.returncode:
            raise AssertionError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def command(self, project: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Likewise, whatever comes of it: status, standard output and standard error."""
        return subprocess.run(
            [sys.executable, ROOT / project / "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(project),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def get(
        self,
        name: str,
        path: str,
        *,
        method: str = "GET",
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        timeout: float = WAIT,
    ) -> Answer:
        """One request to a server, as a program and not a browser would send it."""
        scheme, host = self.urls[name].split("://")
        sent = {"Host": host, "X-Forwarded-Proto": scheme, **(headers or {})}
        if cookies:
            sent["Cookie"] = "; ".join(f"{key}={value}" for key, value in cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.options.ports[name], timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode(errors="replace"))
        finally:
            connection.close()

    def eventually(self, is_so: Callable[[], object], *, every: float = 0.05) -> None:
        """Return as soon as ``is_so()`` is true; fail when it is not within the limit."""
        deadline = time.monotonic() + WAIT
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"Not so within {WAIT:.0f} s.")
            time.sleep(every)

    def logs(self) -> dict[str, str]:
        """Part -> the end of its log, for a report about a failure."""
        return {name: part.tail(40) for name, part in self.parts.items()}


@contextmanager
def story_topology(folder: Path, *, tls_port: int = 0) -> Iterator[StoryTopology]:
    """A started topology in an empty folder, on free ports. ``tls_port``: see ``proxy.py``."""
    ports = [free_port() for _ in range(3)]
    chosen = options(
        portal_port=ports[0],
        site_a_port=ports[1],
        site_b_port=ports[2],
        data_dir=folder / "data",
        namespace="story",
        tls_port=tls_port,
    )
    with StoryTopology(chosen) as topology:
        yield topology
