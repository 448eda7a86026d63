"""The whole topology: Valkey, the portal, two sites and their sync processes, from empty to answering.

In: ``Options``. Out: a ``Topology`` that prepares its data folder, starts its parts in order, knows
when all of them answer, and stops them. ``make demo`` and the stories in tests/ start the same one.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.client
import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from . import valkey
from .options import ROOT, Options, Refused
from .parts import Part, Watchdog, stop_all
from .ports import free_port, is_free

SITES = {"site_a": "Notes", "site_b": "Shop"}
READY_SECONDS = 60

_SERVERS = {
    "portal": ["--interface", "wsgi", "--blocking-threads", "4", "portal.wsgi:application"],
    "site_a": ["--interface", "wsgi", "--blocking-threads", "4", "site_a.wsgi:application"],
    "site_b": ["--interface", "asginl", "site_b.asgi:application"],
}
_OPTIONS = {
    "portal": ("PORT", "--portal-port"),
    "site_a": ("SITE_A_PORT", "--site-a-port"),
    "site_b": ("SITE_B_PORT", "--site-b-port"),
    "redis": ("REDIS_PORT", "--redis-port"),
}
_FOREIGN = ("SSO_", "SITE_", "DJANGO_", "DATABASE_", "GRANIAN_", "PYTHONPATH")


class Topology:
    """Use it as a context manager: leaving it stops everything that was started.

    ``parts`` has ``redis``, ``portal``, ``site_a``, ``site_b``, ``sync_a`` and ``sync_b``, in the
    order of their start, each a ``Part`` that may be stopped, killed, paused and started again.
    """

    def __init__(self, options: Options, say: Callable[[str], object] = str) -> None:
        self.options = options
        self.folder = options.data_dir
        self.parts: dict[str, Part] = {}
        self.dsns: dict[str, str] = {}
        self.people = ""
        self._say = say
        self._lock: IO[str] | None = None
        self._watchdog: Watchdog | None = None
        self._secrets: dict[str, str | int] = {}

    # --- from empty to answering --------------------------------------------------------------

    def start(self) -> None:
        """Do all of it: returns when every part answers. Raises ``Refused`` with one sentence."""
        self._take_folder()
        self._read_secrets()
        self._check_ports()
        self._watchdog = Watchdog()
        self._start_redis()
        self._prepare_data()
        for name in _SERVERS:
            self._add_server(name).start()
        self.wait_until_ready(("portal",))  # or each sync process begins with a complaint
        for name in SITES:
            self._add_sync(name).start()
        self.wait_until_ready()

    def wait_until_ready(
        self, names: tuple[str, ...] = tuple(_SERVERS), seconds: float = READY_SECONDS
    ) -> None:
        """Return when the health page of each of these says that all is well. Raises ``Refused``."""
        deadline = time.monotonic() + seconds
        for name in names:
            while (answer := self.health(name)) != 200:
                for dead in self.dead():
                    raise Refused(self.obituary(dead))
                if time.monotonic() > deadline:
                    log = self.parts[name].log
                    raise Refused(f"{name} is not well after {seconds:.0f} s ({answer}); its log is {log}.")
                time.sleep(0.05)

    def health(self, name: str) -> int | str:
        """The status of a server's health page, or why it is not well. A site that has not yet heard
        from its sync process is not."""
        # Names under localhost resolve in browsers, not everywhere else: go by address, say the name.
        connection = http.client.HTTPConnection("127.0.0.1", self.options.ports[name], timeout=3)
        try:
            scheme, host = self.options.urls[name].split("://")
            headers = {"Host": host, "X-Forwarded-Proto": scheme, "Accept": "application/json"}
            connection.request("GET", "/sso/health/", headers=headers)
            response = connection.getresponse()
            report = json.loads(response.read())
            if name in SITES and response.status == 200 and not report["feed"]:
                return "it has not been synced yet"
            return response.status
        except (OSError, http.client.HTTPException, ValueError) as error:
            return type(error).__name__
        finally:
            connection.close()

    def dead(self) -> list[Part]:
        """Parts that have ended although nobody stopped them."""
        return [part for part in self.parts.values() if part.returncode is not None]

    def obituary(self, part: Part) -> str:
        """One sentence about a part that has ended, and the end of its log."""
        return f"{part.name} ended with status {part.returncode}; its log is {part.log}:\n{part.tail()}"

    def stop(self) -> None:
        """Stop everything, Redis last: the others may still have something to write."""
        redis = self.parts.get("redis")
        stop_all(part for part in reversed(self.parts.values()) if part is not redis)
        if redis:
            redis.stop()
        if self._watchdog:
            self._watchdog.close()
        if self._lock:
            self._lock.close()

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

    # --- the data folder ------------------------------------------------------------------------

    def _take_folder(self) -> None:
        logs = self.folder / "logs"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            logs.mkdir(exist_ok=True)
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise Refused(f"The data folder {self.folder} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(
                f"A demo is running on {self.folder} already: stop it, or name another folder with DATA_DIR=."
            ) from error
        for log in logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def _read_secrets(self) -> None:
        file = self.folder / "secrets.json"
        if file.exists():
            self._secrets = json.loads(file.read_text())
        else:
            self._secrets = {
                "root": base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode(),
                "redis_operator": secrets.token_urlsafe(24),
                "redis_portal": secrets.token_urlsafe(24),
                "redis_port": 0,
            }
        kept = int(self._secrets["redis_port"])
        if not (kept and is_free(kept)):
            kept = free_port()
        self._secrets["redis_port"] = self.options.redis_port or kept
        file.touch(mode=0o600)
        file.write_text(json.dumps(self._secrets, indent=1) + "\n")

    def _check_ports(self) -> None:
        for name, port in [*self.options.ports.items(), ("redis", self.redis_port)]:
            if not is_free(port):
                variable, option = _OPTIONS[name]
                raise Refused(
                    f"Port {port} (for {name}) is taken by another program: choose another one "
                    f"with {variable}=<port> ({option})."
                )

    # --- Redis ----------------------------------------------------------------------------------

    @property
    def redis_port(self) -> int:
        """The port that Valkey listens on, always on 127.0.0.1."""
        return int(self._secrets["redis_port"])

    @property
    def operator_url(self) -> str:
        """The address with which one may do everything in Valkey; no part of the demo uses it later on."""
        return f"redis://default:{self._secrets['redis_operator']}@127.0.0.1:{self.redis_port}/0"

    def _start_redis(self) -> None:
        first_users = valkey.users(
            self.options.namespace, str(self._secrets["redis_operator"]), str(self._secrets["redis_portal"])
        )
        command = valkey.prepare(self.folder / "redis", self.redis_port, first_users)
        part = self._add("redis", command, _environment({}))
        part.start()
        try:
            with valkey.wait_until_ready(self.operator_url, part.is_running) as client:
                valkey.update_portal_user(client, first_users)
        except Refused as error:
            raise Refused(f"{error} Its log is {part.log}:\n{part.tail()}") from error

    # --- databases and people -------------------------------------------------------------------

    def _prepare_data(self) -> None:
        """Migrate what changed; make people and sites; learn the sites' DSNs."""
        stamp = self.folder / "prepared"
        fingerprint = self._fingerprint()
        databases = [self._database(name) for name in _SERVERS]
        is_prepared = stamp.exists() and stamp.read_text() == fingerprint and all(map(Path.exists, databases))
        if not is_prepared:
            self._say("Preparing databases and people ...")
            # The sites' tables need no DSN, whatever the checks say of it: all three at once.
            migrate = ["migrate", "--no-input", "--skip-checks", "--verbosity", "0"]
            self._manage({name: [name, *migrate] for name in _SERVERS})
            sites = [f"--site={name}={self.options.urls[name]}" for name in SITES]
            people = self._manage({"people": ["portal", "demo_data", *sites]})["people"]
            (self.folder / "people.txt").write_text(people)
        self.people = (self.folder / "people.txt").read_text()
        dsns = self._manage({name: ["portal", "sso_site", "dsn", name] for name in SITES})
        self.dsns = {name: text.strip() for name, text in dsns.items()}
        stamp.write_text(fingerprint)

    def _manage(self, jobs: Mapping[str, list[str]]) -> dict[str, str]:
        """Run management commands side by side; return what each one printed. Raises ``Refused``."""
        with self._running(jobs) as running:
            outputs = {
                name: process.communicate(timeout=120)[0].decode() for name, process in running.items()
            }
        for name, process in running.items():
            if process.returncode:
                log = self._log("prepare")
                lines = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise Refused(f"`manage.py {' '.join(jobs[name][1:])}` failed; {log} ends with:\n{lines}")
        return outputs

    @contextmanager
    def _running(self, jobs: Mapping[str, list[str]]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
        running = {}
        try:
            with self._log("prepare").open("ab") as log:
                for name, (project, *arguments) in jobs.items():
                    running[name] = subprocess.Popen(
                        [sys.executable, ROOT / project / "manage.py", *arguments],
                        cwd=ROOT,
                        env=self.environment(project),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        start_new_session=True,
                    )
            yield running
        finally:
            for process in running.values():
                with suppress(ProcessLookupError):
                    process.kill()
                process.wait()

    def _fingerprint(self) -> str:
        """Changes when preparing again could change anything: migrations, packages, addresses."""
        digest = hashlib.sha256(repr(self.options).encode())
        for package in sorted(f"{dist.name} {dist.version}" for dist in importlib.metadata.distributions()):
            digest.update(package.encode())
        for name in ("sso_common", *_SERVERS):
            for file in sorted((ROOT / name).rglob("*.py")):
                if "migrations" in file.parts or file.name == "demo_data.py":
                    digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
        return digest.hexdigest()

    # --- parts ----------------------------------------------------------------------------------

    def kept_environment(self, project: str) -> dict[str, str]:
        """``environment`` of a demo that another process runs. Raises ``Refused``."""
        file = self.folder / "secrets.json"
        if not file.exists():
            raise Refused(f"There is no demo in {self.folder}: start it first, with `make demo`.")
        self._secrets = json.loads(file.read_text())
        return self.environment(project)

    def environment(self, project: str) -> dict[str, str]:
        """The environment of one project's processes, its secrets included."""
        places = " ".join(f"{SITES[name]}={self.options.urls[name]}" for name in SITES if name != project)
        own = {"DATABASE_URL": f"sqlite:///{self._database(project)}"}
        if project == "portal":
            portal_password = self._secrets["redis_portal"]
            user = f"{self.options.namespace}-portal"
            own |= {
                "SSO_ROOT_SECRET": str(self._secrets["root"]),
                "SSO_PORTAL_URL": self.options.urls["portal"],
                "SSO_DOMAIN": self.options.domain,
                "SSO_NAMESPACE": self.options.namespace,
                "EMAIL_FOLDER": str(self.folder / "mail"),
                "SSO_REDIS_URL": f"redis://{user}:{portal_password}@127.0.0.1:{self.redis_port}/0",
            }
        else:
            own |= {
                "SSO_DSN": self.dsns.get(project, ""),
                "SSO_PORTAL_INTERNAL_URL": f"http://127.0.0.1:{self.options.portal_port}",
                "SITE_PLACES": places,
            }
        return _environment(own)

    def _add_server(self, name: str) -> Part:
        address = ["--host", "127.0.0.1", "--port", str(self.options.ports[name])]
        limits = ["--workers", "1", "--no-ws", "--workers-kill-timeout", "4", "--log-level", "warning"]
        command = [sys.executable, "-m", "granian", *address, *limits, *_SERVERS[name]]
        return self._add(name, command, self.environment(name))

    def _add_sync(self, site: str) -> Part:
        command: list[str | Path] = [sys.executable, ROOT / site / "manage.py", "sso_sync", "--follow"]
        return self._add(site.replace("site", "sync"), command, self.environment(site))

    def _add(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> Part:
        if self._watchdog is None:
            raise RuntimeError("start() makes the parts.")
        self.parts[name] = Part(name, command, environment, self._log(name), self._watchdog)
        return self.parts[name]

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _database(self, project: str) -> Path:
        return self.folder / f"{project}.sqlite3"


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, less what could lead a part astray, with its own additions."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(own)
