"""Origins: the scheme, host and port of a URL, as browsers read them. Pure.

Registered addresses and the targets of redirects go through the same parser, so that they can be
compared. Anything doubtful is an error or None.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from sso_common.domains import is_local, is_under
from sso_common.dsn import DOMAIN

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: The characters of a URL (RFC 3986). Browsers repair all others, each in its own way: they drop tabs and
#: newlines, read a backslash as a slash, and map full-width characters and exotic dots to ASCII.
URL: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,4096}", re.ASCII)


def origin_of(url: str) -> str | None:
    """Return the normalised origin of an absolute http or https URL, or None for anything else."""
    if URL.fullmatch(url) is None:
        return None
    if not url.lower().startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if "@" in parts.netloc or "%" in parts.netloc or len(host) > 253 or DOMAIN.fullmatch(host) is None:
        return None
    if parts.netloc.endswith(":") or port == 0:
        return None
    if port is None or port == DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def parse_origin(text: str) -> str:
    """Normalise a site's address, as an operator typed it. Raises ``ValidationError``."""
    origin = origin_of(text.strip())
    if origin is None:
        raise ValidationError(
            _("Enter an address like https://a.example.com. Add the port if browsers show one."),
            code="origin",
        )
    parts = urlsplit(text.strip())
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValidationError(
            _("Enter the address without a path: %(origin)s"), code="path", params={"origin": origin}
        )
    return origin


def check_origin(origin: str, domain: str) -> None:
    """Check that browsers send the SSO cookie to an origin. Raises ``ValidationError``."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if not is_under(host, domain):
        raise ValidationError(
            _("%(host)s is not under the parent domain %(domain)s, so it would not receive the SSO cookie."),
            code="domain",
            params={"host": host, "domain": domain},
        )
    if parts.scheme == "http" and not is_local(host):
        raise ValidationError(
            _("%(origin)s must start with https://, because browsers do not send Secure cookies over http."),
            code="scheme",
            params={"origin": origin},
        )
