"""The demo's secrets and the port of its Valkey, generated at the first start and kept in a file."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from .ports import free_port, is_free


@dataclass(frozen=True, slots=True)
class Credentials:
    """The portal's root secret, and what it takes to connect to Valkey on 127.0.0.1."""

    root: str
    redis_operator: str
    redis_portal: str
    redis_port: int

    @property
    def operator_url(self) -> str:
        """Valkey's address with all permissions. The demo needs it only while it starts."""
        return f"redis://default:{self.redis_operator}@127.0.0.1:{self.redis_port}/0"

    def portal_url(self, namespace: str) -> str:
        """Valkey's address for the portal."""
        return f"redis://{namespace}-portal:{self.redis_portal}@127.0.0.1:{self.redis_port}/0"


def read(file: Path) -> Credentials:
    return Credentials(**json.loads(file.read_text()))


def generate() -> Credentials:
    return Credentials(
        root=base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode(),
        redis_operator=secrets.token_urlsafe(24),
        redis_portal=secrets.token_urlsafe(24),
        redis_port=free_port(),
    )


def load(file: Path, redis_port: int) -> Credentials:
    """Read the file, or create it. With ``redis_port`` 0 the last port is kept as long as it is free."""
    found = read(file) if file.exists() else generate()
    port = redis_port or (found.redis_port if is_free(found.redis_port) else free_port())
    found = dataclasses.replace(found, redis_port=port)
    file.touch(mode=0o600)
    file.write_text(json.dumps(dataclasses.asdict(found), indent=1) + "\n")
    return found
