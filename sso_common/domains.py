"""Host names as browsers treat them: which hosts a cookie reaches, and which domains may set one.

Pure functions, except that ``is_public_suffix`` reads the list of suffixes from an installed package.
"""

from __future__ import annotations

import functools
import ipaddress


def is_under(host: str, domain: str) -> bool:
    """Return whether a cookie for ``domain`` is sent to ``host`` (RFC 6265, 5.1.3)."""
    host = host.lower().rstrip(".")
    return host == domain or host.endswith(f".{domain}")


def may_be_under(pattern: str, domain: str) -> bool:
    """Return whether an entry of ``ALLOWED_HOSTS`` allows a host under the parent domain."""
    name = pattern.lower().rpartition(":")[0] if pattern.rpartition(":")[2].isdigit() else pattern.lower()
    if name.startswith("."):
        return is_under(name[1:], domain) or is_under(domain, name[1:])
    return name == "*" or is_under(name, domain)


def is_local(host: str) -> bool:
    """Return whether a host is this machine, which browsers trust without TLS.

    These are the names under ``localhost`` and the loopback addresses (W3C, Secure Contexts, 3.1).
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return is_under(host, "localhost")


@functools.cache
def is_public_suffix(domain: str) -> bool:
    """Return whether browsers refuse a cookie for a domain, because anyone can register names under it.

    True for every single label (``com``, ``localhost``) and for the entries of https://publicsuffix.org,
    its private section (``github.io``) included.
    """
    # Reading the list takes about 30 ms and 1.4 MB. So it is read on demand, and only the answer is kept.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList().is_public(domain)
