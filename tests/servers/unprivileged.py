"""The user that runs a database server: PostgreSQL refuses root, and MariaDB does without an option."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def unprivileged() -> int | None:
    """Return the user to run a server as; ``None``, for the same user, where this process is not root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def group_of(owner: int | None) -> int | None:
    """Return the user's group."""
    return None if owner is None else pwd.getpwuid(owner).pw_gid


def give(path: Path, owner: int | None) -> None:
    """Make the user the owner of a file or folder."""
    if owner is not None:
        os.chown(path, owner, pwd.getpwuid(owner).pw_gid)
