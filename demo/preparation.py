"""Preparing the databases: migrations, example accounts, registered sites.

Migrating takes longer than everything else the demo does at a start, so it is skipped where nothing
that it depends on has changed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from .folder import DataFolder
from .options import ROOT, Options, Refused
from .projects import SERVERS, SITES, manage

Environment = Callable[[str], dict[str, str]]


def prepare(
    options: Options, folder: DataFolder, environment: Environment, say: Callable[[str], object]
) -> dict[str, str]:
    """Bring all databases up to date. Returns the DSN of each site. Raises ``Refused``."""
    log = folder.log("prepare")
    current = fingerprint(options)
    if not is_prepared(folder, current):
        say("Preparing the databases ...")
        # Migrating needs no DSN, whatever the system checks say, so that all three can run at once.
        migrate = ["migrate", "--no-input", "--skip-checks", "--verbosity", "0"]
        run({name: [name, *migrate] for name in SERVERS}, environment, log)
        sites = [f"--site={name}={options.urls[name]}" for name in SITES]
        people = run({"people": ["portal", "demo_data", *sites]}, environment, log)["people"]
        folder.people.write_text(people)
    dsns = run({name: ["portal", "sso_site", "dsn", name] for name in SITES}, environment, log)
    folder.prepared.write_text(current)
    return {name: output.strip() for name, output in dsns.items()}


def is_prepared(folder: DataFolder, current: str) -> bool:
    databases = [folder.database(name) for name in SERVERS]
    stamp = folder.prepared
    return stamp.exists() and stamp.read_text() == current and all(map(Path.exists, databases))


def fingerprint(options: Options) -> str:
    """Hash all that the preparation depends on: addresses, installed packages, migrations."""
    digest = hashlib.sha256(repr(options).encode())
    for package in sorted(f"{dist.name} {dist.version}" for dist in importlib.metadata.distributions()):
        digest.update(package.encode())
    for name in ("sso_common", *SERVERS):
        for file in sorted((ROOT / name).rglob("*.py")):
            if "migrations" in file.parts or file.name == "demo_data.py":
                digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()


def run(jobs: Mapping[str, list[str]], environment: Environment, log: Path) -> dict[str, str]:
    """Run management commands concurrently. Raises ``Refused`` where one fails.

    ``jobs``: a name for each command -> the project and the arguments of its ``manage.py``.
    Returns the output of each.
    """
    running = {}
    with log.open("ab") as errors, ExitStack() as cleanup:
        for name, (project, *arguments) in jobs.items():
            running[name] = subprocess.Popen(
                manage(project, *arguments),
                cwd=ROOT,
                env=environment(project),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            cleanup.callback(end, running[name])
        outputs = {name: process.communicate(timeout=120)[0].decode() for name, process in running.items()}
    for name, process in running.items():
        if process.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise Refused(f"`manage.py {' '.join(jobs[name][1:])}` failed. {log} ends with:\n{tail}")
    return outputs


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
