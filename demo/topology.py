"""Valkey, the portal, two sites and their sync processes: started in order, watched, and stopped.

``make demo`` and the stories in tests/ run the same ``Topology``.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from . import credentials, projects, valkey
from .credentials import Credentials
from .folder import DataFolder
from .options import ROOT, Options, Refused
from .parts import Part, Watchdog, stop_all
from .ports import free_port, is_free, require_free
from .preparation import prepare
from .projects import SERVERS, SITES

__all__ = ["Topology", "free_port", "is_free"]

READY_SECONDS = 60


class Topology:
    """All processes of the demo. As a context manager it stops whatever it has started.

    ``parts`` has ``redis``, ``portal``, ``site_a``, ``site_b``, ``sync_a`` and ``sync_b``, in the
    order in which they start.
    """

    _credentials: Credentials
    _watchdog: Watchdog

    def __init__(self, options: Options, say: Callable[[str], object] = lambda line: None) -> None:
        self.options = options
        self.folder = options.data_dir
        self.parts: dict[str, Part] = {}
        self.dsns: dict[str, str] = {}
        self._say = say
        self._data = DataFolder(options.data_dir)
        self._cleanup = ExitStack()

    def start(self) -> None:
        """Start all parts and return when they answer. Raises ``Refused``."""
        self._cleanup.callback(self._data.release)
        self._data.take()
        self._credentials = credentials.load(self._data.credentials, self.options.redis_port)
        require_free(self.options.ports | {"redis": self._credentials.redis_port})
        self._watchdog = Watchdog()
        self._cleanup.callback(self._watchdog.close)
        self._start_redis()
        self.dsns = prepare(self.options, self._data, self.environment, self._say)
        for name in SERVERS:
            self._add(name, projects.serve(name, self.options.ports[name]), self.environment(name)).start()
        self.wait_until_ready(("portal",))  # a sync process that starts earlier logs an error
        for name in SITES:
            command = projects.manage(name, "sso_sync", "--follow")
            self._add(name.replace("site", "sync"), command, self.environment(name)).start()
        self.wait_until_ready()

    def stop(self) -> None:
        """Stop everything. Redis stops last, because other parts may still write to it."""
        redis = self.parts.get("redis")
        stop_all(part for part in reversed(self.parts.values()) if part is not redis)
        if redis:
            redis.stop()
        self._cleanup.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(
        self, names: tuple[str, ...] = tuple(SERVERS), seconds: float = READY_SECONDS
    ) -> None:
        """Return when the health pages of these servers answer 200. Raises ``Refused``."""
        deadline = time.monotonic() + seconds
        for name in names:
            while (answer := self.health(name)) != 200:
                if dead := self.dead():
                    raise Refused(dead[0].report())
                if time.monotonic() > deadline:
                    log = self.parts[name].log
                    raise Refused(f"{name} is not ready after {seconds:.0f} s ({answer}). Its log is {log}.")
                time.sleep(0.05)

    def health(self, name: str) -> int | str:
        """The status of a server's health page, or the reason why the server is not ready.

        A site is not ready before its first sync.
        """
        # Names under localhost resolve in browsers, but not in every resolver: connect to the address.
        connection = http.client.HTTPConnection("127.0.0.1", self.options.ports[name], timeout=3)
        try:
            scheme, host = self.options.urls[name].split("://")
            headers = {"Host": host, "X-Forwarded-Proto": scheme, "Accept": "application/json"}
            connection.request("GET", "/sso/health/", headers=headers)
            response = connection.getresponse()
            report = json.loads(response.read())
            if name in SITES and response.status == 200 and not report["feed"]:
                return "not synced yet"
            return response.status
        except (OSError, http.client.HTTPException, ValueError) as error:
            return type(error).__name__
        finally:
            connection.close()

    def dead(self) -> list[Part]:
        """The parts that were started and have ended."""
        return [part for part in self.parts.values() if part.returncode is not None]

    def environment(self, project: str) -> dict[str, str]:
        """The environment of a project's processes, secrets included."""
        dsn = self.dsns.get(project, "")
        return projects.environment(project, self.options, self._data, self._credentials, dsn)

    @property
    def people(self) -> str:
        """The example accounts, as text."""
        return self._data.people.read_text()

    @property
    def redis_port(self) -> int:
        """The port of Valkey on 127.0.0.1."""
        return self._credentials.redis_port

    @property
    def operator_url(self) -> str:
        """Valkey's address with all permissions."""
        return self._credentials.operator_url

    def _start_redis(self) -> None:
        users = valkey.users(
            self.options.namespace, self._credentials.redis_operator, self._credentials.redis_portal
        )
        command = valkey.prepare(self._data.redis, self.redis_port, users)
        part = self._add("redis", command, projects.inherit({}))
        part.start()
        try:
            with valkey.wait_until_ready(self.operator_url, part.is_running) as client:
                valkey.update_portal_user(client, users)
        except Refused as error:
            raise Refused(f"{error} Its log is {part.log}:\n{part.tail()}") from error

    def _add(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path = ROOT
    ) -> Part:
        log = self._data.log(name)
        self.parts[name] = Part(name, command, environment, log, self._watchdog, folder=folder)
        return self.parts[name]
