"""The demo's data folder, which keeps databases, logs and secrets from one start to the next."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from .options import Refused


class DataFolder:
    """The paths in the folder. One demo at a time can hold its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.credentials = path / "secrets.json"
        self.redis = path / "redis"
        self.mail = path / "mail"
        self.people = path / "people.txt"
        self.prepared = path / "prepared"
        self._lock: IO[str] | None = None

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.path / "logs" / f"{name}.log"

    def database(self, project: str) -> Path:
        """The SQLite database of a project."""
        return self.path / f"{project}.sqlite3"

    def take(self) -> None:
        """Create the folder, lock it, and move the last run's logs aside. Raises ``Refused``."""
        logs = self.path / "logs"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            logs.mkdir(exist_ok=True)
            self._lock = (self.path / "lock").open("w")
        except OSError as error:
            raise Refused(f"The data folder {self.path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(
                f"Another demo is using {self.path}: stop it, or choose another port and folder with PORT=."
            ) from error
        for log in logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def release(self) -> None:
        """Unlock the folder."""
        if self._lock:
            self._lock.close()
