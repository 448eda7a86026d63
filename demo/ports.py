"""Ports of 127.0.0.1: find a free one, and check that those the demo needs are free."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from .options import Refused

#: Part -> the make variable and the command-line option that set its port.
OPTIONS = {
    "portal": ("PORT", "--portal-port"),
    "site_a": ("SITE_A_PORT", "--site-a-port"),
    "site_b": ("SITE_B_PORT", "--site-b-port"),
    "redis": ("REDIS_PORT", "--redis-port"),
}


def is_free(port: int) -> bool:
    """Whether no process listens on this port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port on which no process listens at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def require_free(ports: Mapping[str, int]) -> None:
    """Check the port of each part. Raises ``Refused`` for the first one that is in use."""
    for name, port in ports.items():
        if not is_free(port):
            variable, option = OPTIONS[name]
            raise Refused(
                f"Port {port} (for {name}) is already in use: choose another one "
                f"with {variable}=<port> ({option})."
            )
