"""The DSN: everything that the portal tells a site, in one line. Pure parsing, no settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

from .exceptions import InvalidDsn
from .keys import KEY_BYTES, SiteKeys, key_id

SITE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
NAMESPACE: Final = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*", re.ASCII)
REDIS_SCHEMES: Final = {"redis", "rediss", "redis-cluster", "rediss-cluster"}


@dataclass(frozen=True, slots=True)
class Dsn:
    """What a site knows about the portal, the domain and Redis.

    As text: ``https://<site>:<secret>[,<older>...]@<portal>/?domain=<parent domain>&redis=<address>
    &key=<kid>.<public key>[&key=...]&ns=<namespace>``. Lists are newest first.
    """

    portal_url: str
    site: str
    secrets: tuple[bytes, ...] = field(repr=False)
    domain: str
    redis_url: str = field(repr=False)
    #: (kid, raw Ed25519 public key), newest first.
    public_keys: tuple[tuple[str, bytes], ...]
    namespace: str = "sso"

    @property
    def cookie_name(self) -> str:
        """The SSO cookie's name. It includes the namespace, so staging can live under production's
        domain without either receiving the other's cookie."""
        return f"__Secure-{self.namespace}"

    @property
    def site_keys(self) -> tuple[SiteKeys, ...]:
        """The keys derived from each site secret, newest first."""
        return tuple(SiteKeys(secret) for secret in self.secrets)

    @property
    def redis_user(self) -> str:
        """The site's user in the Redis ACL."""
        return redis_user(self.namespace, self.site)

    @property
    def is_cluster(self) -> bool:
        """Whether the Redis address is that of a cluster."""
        return self.redis_url.startswith(("redis-cluster:", "rediss-cluster:"))

    @property
    def redis_login_url(self) -> str:
        """The Redis address with credentials, in a scheme that redis-py knows. Its query parameters
        (``protocol=2``, ``ssl_ca_certs=…``) are options of redis-py."""
        parts = urlsplit(self.redis_url)
        netloc = parts.netloc
        if "@" not in netloc:
            netloc = f"{self.redis_user}:{self.site_keys[0].redis_password}@{netloc}"
        return urlunsplit((parts.scheme.removesuffix("-cluster"), netloc, parts.path, parts.query, ""))

    def __str__(self) -> str:
        """The line that ``parse_dsn`` reads. It contains the site's secret: never log it."""
        scheme, host = self.portal_url.split("://", 1)
        secrets = ",".join(base64_encode(secret).decode("ascii") for secret in self.secrets)
        query = [("domain", self.domain), ("redis", self.redis_url)]
        query += [("key", f"{kid}.{base64_encode(key).decode('ascii')}") for kid, key in self.public_keys]
        query.append(("ns", self.namespace))
        return f"{scheme}://{self.site}:{secrets}@{host}/?{urlencode(query, quote_via=quote)}"


def redis_user(namespace: str, site: str) -> str:
    """The name of a site's user in the Redis ACL."""
    return f"{namespace}-{site}"


def parse_dsn(text: str) -> Dsn:
    """Parse the line that the portal prints. Raises ``InvalidDsn``, which never quotes a secret."""
    if any(character.isspace() or ord(character) < 32 for character in text):
        raise InvalidDsn("SSO_DSN contains white space; it was probably cut or wrapped.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # Without the cause, which may quote the text and with it the secret.
        raise InvalidDsn("SSO_DSN is not a URL.") from None
    if parts.scheme not in {"http", "https"}:
        raise InvalidDsn("SSO_DSN must start with https:// (or http:// on a test machine).")
    if not parts.hostname or parts.path not in {"", "/"} or parts.fragment:
        raise InvalidDsn("SSO_DSN must look like https://<site>:<secret>@<portal>/?…")
    if SITE_NAME.fullmatch(parts.username or "") is None:
        raise InvalidDsn("SSO_DSN has no valid site name before the secret.")
    query = parse_query(parts.query)
    return Dsn(
        portal_url=f"{parts.scheme}://{join_host(parts.hostname, port)}",
        site=parts.username or "",
        secrets=parse_secrets(parts.password or ""),
        domain=parse_domain(single(query, "domain")),
        redis_url=parse_redis_url(single(query, "redis")),
        public_keys=parse_public_keys(query.get("key", [])),
        namespace=parse_namespace(single(query, "ns", "sso")),
    )


def parse_query(text: str) -> Mapping[str, list[str]]:
    try:
        query = parse_qs(text, keep_blank_values=True, strict_parsing=True, max_num_fields=64)
    except ValueError:
        # Without the cause, as above.
        raise InvalidDsn("SSO_DSN has no valid query after the question mark.") from None
    if unknown := set(query) - {"domain", "redis", "key", "ns"}:
        raise InvalidDsn(f"SSO_DSN has a parameter {min(unknown)!r} that this version does not know.")
    return query


def join_host(hostname: str, port: int | None) -> str:
    """Host and port as in a URL; IPv6 addresses in brackets."""
    host = f"[{hostname}]" if ":" in hostname else hostname
    return host if port is None else f"{host}:{port}"


def single(query: Mapping[str, list[str]], name: str, default: str | None = None) -> str:
    values = query.get(name, [] if default is None else [default])
    if len(values) != 1 or not values[0]:
        raise InvalidDsn(f"SSO_DSN needs exactly one {name}=.")
    return values[0]


def parse_secrets(text: str) -> tuple[bytes, ...]:
    secrets = tuple(decode(part) for part in text.split(","))
    if any(len(secret) != KEY_BYTES for secret in secrets):
        raise InvalidDsn("SSO_DSN has a site secret of the wrong length; it was probably cut.")
    return secrets


def decode(text: str) -> bytes:
    """Canonical base64url; empty for anything else."""
    try:
        value = base64_decode(text)
    except BadData:
        return b""
    return value if base64_encode(value).decode("ascii") == text else b""


def parse_domain(text: str) -> str:
    if len(text) > 253 or DOMAIN.fullmatch(text) is None:
        raise InvalidDsn("SSO_DSN: domain= is not a host name in lower case.")
    return text


def parse_redis_url(text: str) -> str:
    """The address of one Redis server, or of several nodes of a cluster."""
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        is_valid = parts.scheme in REDIS_SCHEMES and all(map(is_host, hosts))
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidDsn("SSO_DSN: redis= is not a redis:// or rediss:// URL.")
    if len(hosts) > 1 and not parts.scheme.endswith("-cluster"):
        raise InvalidDsn("SSO_DSN: redis= names several nodes, so it must start with redis-cluster://.")
    return text


def is_host(text: str) -> bool:
    """Whether a text is ``host`` or ``host:port``. Raises ``ValueError`` for an invalid port."""
    parts = urlsplit(f"//{text}")
    return bool(parts.hostname) and parts.port != 0


def parse_public_keys(texts: list[str]) -> tuple[tuple[str, bytes], ...]:
    if not texts:
        raise InvalidDsn("SSO_DSN needs at least one key=.")
    return tuple(parse_public_key(text) for text in texts)


def parse_public_key(text: str) -> tuple[str, bytes]:
    """(kid, raw public key) from ``<kid>.<key>``."""
    kid, _, encoded = text.partition(".")
    key = decode(encoded)
    if len(key) != 32 or key_id(key) != kid:
        raise InvalidDsn("SSO_DSN: a key= is not a public key with its id; it was probably cut.")
    return kid, key


def parse_namespace(text: str) -> str:
    if NAMESPACE.fullmatch(text) is None:
        raise InvalidDsn("SSO_DSN: ns= may contain lower-case letters, digits and hyphens only.")
    return text
