"""The demo's options: addresses, ports and the data folder, read from the command line.

The tests' topology makes its own with ``options()``.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 8000

DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+localhost", re.ASCII)
NAMESPACE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


class Refused(Exception):
    """The demo cannot run. The message is printed for the user as it is."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options, with all defaults filled in.

    ``redis_port``: 0 stands for a free one, which later starts use again. ``tls_port``: the port of a
    TLS proxy (nginx/) through which browsers reach the portal and both sites; 0 without a proxy.
    ``make demo`` never has one.
    """

    domain: str
    portal_port: int
    site_a_port: int
    site_b_port: int
    redis_port: int
    data_dir: Path
    namespace: str
    tls_port: int = 0

    @property
    def ports(self) -> dict[str, int]:
        """Project -> the port of its web server."""
        return {"portal": self.portal_port, "site_a": self.site_a_port, "site_b": self.site_b_port}

    @property
    def urls(self) -> dict[str, str]:
        """Project -> its address for browsers."""
        hosts = {"portal": "portal", "site_a": "a", "site_b": "b"}
        if self.tls_port:
            return {name: f"https://{host}.{self.domain}:{self.tls_port}" for name, host in hosts.items()}
        return {name: f"http://{hosts[name]}.{self.domain}:{port}" for name, port in self.ports.items()}


def options(
    *,
    domain: str = "sso.localhost",
    portal_port: int = DEFAULT_PORT,
    site_a_port: int | None = None,
    site_b_port: int | None = None,
    redis_port: int = 0,
    data_dir: Path | None = None,
    namespace: str | None = None,
    tls_port: int = 0,
) -> Options:
    """Fill in the defaults and check the values. Raises ``Refused``.

    The defaults depend on the portal's port, so that two demos share neither a folder nor a cookie:
    browsers send a cookie to every port of a host.
    """
    suffix = "" if portal_port == DEFAULT_PORT else f"-{portal_port}"
    chosen = Options(
        domain=domain,
        portal_port=portal_port,
        site_a_port=portal_port + 1 if site_a_port is None else site_a_port,
        site_b_port=portal_port + 2 if site_b_port is None else site_b_port,
        redis_port=redis_port,
        data_dir=(Path(f".demo{suffix}") if data_dir is None else data_dir).absolute(),
        namespace=f"sso{suffix}" if namespace is None else namespace,
        tls_port=tls_port,
    )
    check(chosen)
    return chosen


def check(chosen: Options) -> None:
    if not DOMAIN.fullmatch(chosen.domain):
        raise Refused(
            f"--domain must be a name under localhost, such as sso.localhost, not {chosen.domain!r}: "
            "browsers accept Secure cookies without TLS only there."
        )
    if not NAMESPACE.fullmatch(chosen.namespace):
        raise Refused(
            f"--namespace may contain only lowercase letters, digits and hyphens, not {chosen.namespace!r}."
        )
    ports = [*chosen.ports.values(), chosen.redis_port or -1]
    if not all(0 < port < 65536 for port in ports[:3]) or not 0 <= chosen.redis_port < 65536:
        raise Refused("A port is a number from 1 to 65535.")
    if len(set(ports)) != len(ports):
        raise Refused("Each part needs its own port.")


def parse(arguments: list[str]) -> Options:
    """Read the command line. Raises ``Refused``."""
    parser = Parser(prog="make demo DEMO_ARGS=...", description="Start the portal, two sites and Valkey.")
    add = parser.add_argument
    add("--domain", default="sso.localhost", help="the parent domain (default: %(default)s)")
    add("--portal-port", type=int, default=DEFAULT_PORT, metavar="PORT", help="(default: %(default)s)")
    add("--site-a-port", type=int, metavar="PORT", help="(default: the portal's port + 1)")
    add("--site-b-port", type=int, metavar="PORT", help="(default: the portal's port + 2)")
    add("--redis-port", type=int, default=0, metavar="PORT", help="(default: a free port, which is kept)")
    add("--data-dir", type=Path, metavar="DIR", help="(default: .demo, or .demo-PORT)")
    add("--namespace", metavar="NAME", help="prefix of Redis keys and cookies (default: sso, or sso-PORT)")
    return options(**vars(parser.parse_args(arguments)))


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(
            f"{message[:1].upper()}{message[1:]}. Run `make demo DEMO_ARGS=--help` for all options."
        )
