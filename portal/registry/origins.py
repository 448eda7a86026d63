"""Origins: which address belongs to a registered site, and where a visitor may be sent back to.

In: text that came from outside. Out: an exact origin (scheme, host and port) or the very text when
it may be followed; anything doubtful is an error or ``None``. One parser for both, so that what is
compared is what the browser will do.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: What a URL may consist of (RFC 3986). Browsers repair everything else, each in its own way: they drop tabs
#: and newlines, read a backslash as a slash, map full-width characters and exotic dots to ASCII.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,4096}", re.ASCII)


def origin_of(url: str) -> str | None:
    """The origin of a plain absolute http(s) URL, normalised; ``None`` for whatever else it is."""
    if _URL.fullmatch(url) is None:
        return None
    if not url.lower().startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if "@" in parts.netloc or "%" in parts.netloc or len(host) > 253 or _HOST.fullmatch(host) is None:
        return None
    if parts.netloc.endswith(":") or port == 0:
        return None
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def parse_origin(text: str) -> str:
    """Normalise what a person typed as a site's address. Raises ``ValidationError``, in one sentence."""
    origin = origin_of(text.strip())
    if origin is None:
        raise ValidationError(
            _("A site's address looks like https://a.example.com, with a port only where browsers show one."),
            code="origin",
        )
    parts = urlsplit(text.strip())
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValidationError(
            _("Give the site's address without a path: %(origin)s"), code="path", params={"origin": origin}
        )
    return origin


def check_origin(origin: str, domain: str) -> None:
    """Refuse an origin that the SSO cookie would not reach. Raises ``ValidationError``."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if host != domain and not host.endswith(f".{domain}"):
        raise ValidationError(
            _("%(host)s is not under the parent domain %(domain)s, so it would not receive the sign-in."),
            code="domain",
            params={"host": host, "domain": domain},
        )
    if parts.scheme == "http" and not is_local(host):
        raise ValidationError(
            _("%(origin)s must start with https://: over http, browsers keep Secure cookies to themselves."),
            code="scheme",
            params={"origin": origin},
        )


def is_local(host: str) -> bool:
    """Whether browsers treat a host as this machine, and so as secure without TLS."""
    return host == "localhost" or host.endswith(".localhost")


def safe_next(url: str) -> str | None:
    """The URL itself when it leads to the portal or to a registered site's exact origin, else ``None``.

    A path (``/account/``) leads to the portal.
    """
    from sso_common import conf

    from .models import Site

    if _is_local_path(url):
        return url
    origin = origin_of(url)
    if origin is None:
        return None
    if origin == origin_of(conf.portal_url()):
        return url
    return url if Site.objects.filter(origin=origin, is_active=True).exists() else None


def _is_local_path(url: str) -> bool:
    return _URL.fullmatch(url) is not None and url.startswith("/") and not url.startswith("//")
