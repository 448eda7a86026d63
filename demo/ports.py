"""Ports of 127.0.0.1: reserve a free one, and check that those the demo needs are free.

A port that the system picks (``bind`` to port 0) comes from the range that it also uses for outgoing
connections. Before the server starts, or while it is restarted, any client on the machine can take it.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from typing import Final

from .options import Refused

#: Below the range for outgoing connections (Linux: from 32768; macOS and Windows: from 49152).
RANGE: Final = range(20_000, 30_000)

#: Part -> the make variable and the command-line option that set its port.
OPTIONS: Final = {
    "portal": ("PORT", "--portal-port"),
    "site_a": ("SITE_A_PORT", "--site-a-port"),
    "site_b": ("SITE_B_PORT", "--site-b-port"),
    "redis": ("REDIS_PORT", "--redis-port"),
}


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a free port of 127.0.0.1 and reserve it for this process until the process ends.

    Raises ``OSError`` where all ports of ``RANGE`` are taken.
    """
    # Not the shared generator: tests seed it, and parallel runs with one seed would compete for one port.
    ports = random.SystemRandom().sample(RANGE, len(RANGE))
    port = next((port for port in ports if _claim(port)), None)
    if port is None:
        raise OSError("No port of 127.0.0.1 is free.")
    return port


def _claim(port: int) -> bool:
    """Claim a port by binding the UDP port of the same number, which none of the servers here uses.

    The system releases the claim when the process ends, also after SIGKILL.
    """
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
    except OSError:
        pass
    else:
        if is_free(port):
            claim.detach()  # stays open without an object that Python would report as not closed
            return True
    claim.close()
    return False


def require_free(ports: Mapping[str, int]) -> None:
    """Check the port of each part. Raises ``Refused`` for the first one that is in use."""
    for name, port in ports.items():
        if not is_free(port):
            variable, option = OPTIONS[name]
            raise Refused(
                f"Port {port} (for {name}) is already in use: choose another one "
                f"with {variable}=<port> ({option})."
            )
