"""The topology of the stories: the one that ``make demo`` starts, on free ports and with new data.

What a story can use:

- ``topology.urls["portal"]``, ``["site_a"]``, ``["site_b"]``: the addresses, without a trailing slash.
- ``topology.parts[name]`` is a process: ``redis``, ``portal``, ``site_a``, ``site_b``, ``sync_a`` or
  ``sync_b``; ``.stop()`` is SIGTERM, ``.kill()`` -9, ``.pause()`` SIGSTOP, ``.resume()`` SIGCONT.
- ``topology.restart(name)`` restarts a part and returns when it answers.
- ``topology.reconfigure("portal", SSO_SIGNING_KEYS="2,1")`` changes a project's environment and restarts it.
- ``topology.manage("portal", "sso_site", "list")`` runs a management command and returns its output;
  ``topology.command(...)`` also returns its status.
- ``topology.redis`` is the operator's connection. Read there; never write what a part would write.
- ``topology.get("site_a", "/path", cookies={...})`` sends a request without a browser or redirects.
- ``topology.eventually(lambda: ...)`` waits, with a limit, for something that happens in another process.
- After each story ``restore()`` restarts what the story has stopped. Data stays, so create your own people.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import redis

from demo.options import ROOT, Options, options
from demo.parts import stop_all
from demo.ports import free_port
from demo.topology import Topology
from demo.valkey import wait_until_ready
from tests.timing import WAIT, until

_SERVERS = ("portal", "site_a", "site_b")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``headers`` ignores the case of names; ``headers.get_all`` returns all cookies."""

    status: int
    headers: Message
    body: str


class StoryTopology(Topology):
    """``demo.topology.Topology`` and what the stories do with it; see the module's docstring."""

    redis: redis.Redis

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._changed: dict[str, dict[str, str]] = {}
        #: The addresses of sites beside those of the demo.
        self.addresses: dict[str, str] = {}

    @property
    def urls(self) -> dict[str, str]:
        """Part -> address in the browser."""
        return self.options.urls | self.addresses

    def start(self) -> None:
        super().start()
        self.redis = redis.Redis.from_url(self.operator_url, decode_responses=True)
        self._keep_writes()

    def _keep_writes(self) -> None:
        """Let Redis write its log at once, also to a slow disk: a kill must not lose acknowledged writes."""
        self.redis.config_set("appendfsync", "no")

    def environment(self, project: str) -> dict[str, str]:
        return super().environment(project) | self._changed.get(project, {})

    def reconfigure(self, project: str, *, dsn: str = "", **environment: str) -> None:
        """Change a project's environment permanently, and restart its processes; ``dsn`` is a site's DSN."""
        if dsn:
            self.dsns[project] = dsn
        self._changed.setdefault(project, {}).update(environment)
        for name in (project, project.replace("site", "sync")):
            if name in self.parts:
                self.parts[name].environment = self.environment(project)
                self.restart(name)

    def start_part(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path
    ) -> None:
        """Start a process beside those of the demo. It is watched, restored and stopped with them."""
        self._add(name, command, environment, folder).start()

    def stop_parts(self, *names: str) -> None:
        """Stop processes that ``start_part`` has started, and forget them."""
        stop_all([self.parts.pop(name) for name in names])

    def restart(self, name: str) -> None:
        """Start or restart a part, and return when it answers."""
        self.parts[name].kill()
        self.parts[name].start()
        if name == "redis":
            wait_until_ready(self.operator_url, self.parts[name].is_running).close()
            self._keep_writes()
        if name in _SERVERS:
            self.wait_until_answering(name)

    def wait_until_answering(self, name: str) -> None:
        """Return when a server answers, with any status."""
        self.eventually(lambda: isinstance(self.health(name), int))

    def restore(self) -> None:
        """Restart or resume every part that is stopped, dead or paused; return when all are ready."""
        for name, part in self.parts.items():
            part.resume()
            if not part.is_running():
                self.restart(name)
        self.wait_until_ready(_SERVERS)

    def manage(self, project: str, *arguments: str) -> str:
        """Run a management command in a project's environment; return its output."""
        done = self.command(project, *arguments)
        if done.returncode:
            raise AssertionError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def command(self, project: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command; return its status, standard output and standard error."""
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
        """Send one request to a server, without a browser."""
        scheme, host = self.urls[name].split("://")
        sent = {"Host": host, "X-Forwarded-Proto": scheme, **(headers or {})}
        if cookies:
            sent["Cookie"] = "; ".join(f"{key}={value}" for key, value in cookies.items())
        port = urlsplit(self.urls[name]).port if name in self.addresses else self.options.ports[name]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode(errors="replace"))
        finally:
            connection.close()

    def eventually(self, is_so: Callable[[], object], *, every: float = 0.05) -> None:
        """Return as soon as ``is_so()`` is true; fail when the limit is over."""
        until(is_so, every=every)

    def logs(self) -> dict[str, str]:
        """Return part -> end of its log, for the report of a failure."""
        return {name: part.tail(40) for name, part in self.parts.items()}


@contextmanager
def story_topology(folder: Path, *, tls_port: int = 0) -> Iterator[StoryTopology]:
    """Start a topology in an empty folder on free ports, and stop it. ``tls_port``: see nginx.py."""
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
