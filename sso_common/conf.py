"""Every setting of ``sso_common``, typed and read live; the DSN.

In: ``django.conf.settings`` and, for what differs between deployments, the environment. Out:
typed values. ``secret_keys`` and ``cache`` serve a settings file while it is being executed, so
they read the environment alone (or the DSN that they are given).
"""

from __future__ import annotations

import functools
import os
import re
import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

from .exceptions import InvalidDsn
from .keys import KEY_BYTES, SiteKeys, key_id

DSN_VARIABLE: Final = "SSO_DSN"
INTERNAL_URL_VARIABLE: Final = "SSO_PORTAL_INTERNAL_URL"
CACHE_ALIAS: Final = "sso"

#: Seconds. A request that needs the session answers 503 well inside 1.5 s: at the worst one
#: attempt and one retry, each with these two limits.
CONNECT_TIMEOUT: Final = 0.25
READ_TIMEOUT: Final = 0.5

SITE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
NAMESPACE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*", re.ASCII)
_REDIS_SCHEMES = {"redis", "rediss", "redis-cluster", "rediss-cluster"}


@dataclass(frozen=True, slots=True)
class Dsn:
    """All that the portal tells a site, in one line.

    ``https://<site>:<secret>[,<older>...]@<portal>/?domain=<parent domain>&redis=<address>
    &key=<kid>.<public key>[&key=...]&ns=<namespace>``; lists are newest first.
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
        """The SSO cookie's name. Another namespace has another name: staging may live under
        production's domain without either receiving the other's cookie."""
        return f"__Secure-{self.namespace}"

    @property
    def site_keys(self) -> tuple[SiteKeys, ...]:
        """The keys derived from each site secret, newest first."""
        return tuple(SiteKeys(secret) for secret in self.secrets)

    @property
    def redis_user(self) -> str:
        """The site's user in the Redis ACL."""
        return f"{self.namespace}-{self.site}"

    @property
    def is_cluster(self) -> bool:
        """Whether the Redis address is that of a cluster."""
        return self.redis_url.startswith(("redis-cluster:", "rediss-cluster:"))

    @property
    def redis_login_url(self) -> str:
        """The Redis address with credentials, in a scheme that redis-py knows. What it says after
        a question mark (``protocol=2``, ``ssl_ca_certs=…``) are options of redis-py."""
        parts = urlsplit(self.redis_url)
        netloc = parts.netloc
        if "@" not in netloc:
            netloc = f"{self.redis_user}:{self.site_keys[0].redis_password}@{netloc}"
        return urlunsplit((parts.scheme.removesuffix("-cluster"), netloc, parts.path, parts.query, ""))

    def __str__(self) -> str:
        """The line that ``parse_dsn`` reads. It holds the site's secret: never log it."""
        scheme, host = self.portal_url.split("://", 1)
        secrets = ",".join(base64_encode(secret).decode("ascii") for secret in self.secrets)
        query = [("domain", self.domain), ("redis", self.redis_url)]
        query += [("key", f"{kid}.{base64_encode(key).decode('ascii')}") for kid, key in self.public_keys]
        query.append(("ns", self.namespace))
        return f"{scheme}://{self.site}:{secrets}@{host}/?{urlencode(query, quote_via=quote)}"


def parse_dsn(text: str) -> Dsn:
    """Parse the line that the portal prints. Raises ``InvalidDsn``, which never quotes a secret."""
    if any(character.isspace() or ord(character) < 32 for character in text):
        raise InvalidDsn(f"{DSN_VARIABLE} holds white space; it was probably cut or wrapped.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # The cause may quote the text, and with it the secret.
        raise InvalidDsn(f"{DSN_VARIABLE} is not an address.") from None
    if parts.scheme not in {"http", "https"}:
        raise InvalidDsn(f"{DSN_VARIABLE} must start with https:// (or http:// on a test machine).")
    if not parts.hostname or parts.path not in {"", "/"} or parts.fragment:
        raise InvalidDsn(f"{DSN_VARIABLE} must look like https://<site>:<secret>@<portal>/?…")
    if SITE_NAME.fullmatch(parts.username or "") is None:
        raise InvalidDsn(f"{DSN_VARIABLE} has no valid site name before the secret.")
    try:
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=64)
    except ValueError:
        # As above: the cause quotes what it could not read.
        raise InvalidDsn(f"{DSN_VARIABLE} has no valid part after the question mark.") from None
    if unknown := set(query) - {"domain", "redis", "key", "ns"}:
        raise InvalidDsn(f"{DSN_VARIABLE} has a part named {min(unknown)!r} that this version does not know.")
    return Dsn(
        portal_url=f"{parts.scheme}://{_host(parts.hostname, port)}",
        site=parts.username or "",
        secrets=_parse_secrets(parts.password or ""),
        domain=_parse_domain(_single(query, "domain")),
        redis_url=_parse_redis_url(_single(query, "redis")),
        public_keys=tuple(_parse_public_key(text) for text in query.get("key", [])) or _no_key(),
        namespace=_parse_namespace(_single(query, "ns", "sso")),
    )


def _host(hostname: str, port: int | None) -> str:
    host = f"[{hostname}]" if ":" in hostname else hostname
    return host if port is None else f"{host}:{port}"


def _single(query: Mapping[str, list[str]], name: str, default: str | None = None) -> str:
    values = query.get(name, [] if default is None else [default])
    if len(values) != 1 or not values[0]:
        raise InvalidDsn(f"{DSN_VARIABLE} needs exactly one {name}=.")
    return values[0]


def _parse_secrets(text: str) -> tuple[bytes, ...]:
    secrets = tuple(_decode(part) for part in text.split(","))
    if any(len(secret) != KEY_BYTES for secret in secrets):
        raise InvalidDsn(f"{DSN_VARIABLE} has a site secret of the wrong length; it was cut.")
    return secrets


def _decode(text: str) -> bytes:
    try:
        value = base64_decode(text)
    except BadData:
        value = b""
    return value if base64_encode(value).decode("ascii") == text else b""


def _parse_domain(text: str) -> str:
    if len(text) > 253 or _DOMAIN.fullmatch(text) is None:
        raise InvalidDsn(f"{DSN_VARIABLE}: domain= is not a host name in lower case.")
    return text


def _parse_redis_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        valid = parts.scheme in _REDIS_SCHEMES and all(map(_is_host, hosts))
    except ValueError:
        valid = False
    if not valid:
        raise InvalidDsn(f"{DSN_VARIABLE}: redis= is not a redis:// or rediss:// address.")
    if len(hosts) > 1 and not parts.scheme.endswith("-cluster"):
        raise InvalidDsn(f"{DSN_VARIABLE}: redis= names several nodes, so it must be redis-cluster://.")
    return text


def _is_host(text: str) -> bool:
    parts = urlsplit(f"//{text}")
    return bool(parts.hostname) and parts.port != 0


def _parse_public_key(text: str) -> tuple[str, bytes]:
    kid, _, encoded = text.partition(".")
    key = _decode(encoded)
    if len(key) != 32 or key_id(key) != kid:
        raise InvalidDsn(f"{DSN_VARIABLE}: a key= is not a public key with its id; it was cut.")
    return kid, key


def _parse_namespace(text: str) -> str:
    if NAMESPACE.fullmatch(text) is None:
        raise InvalidDsn(f"{DSN_VARIABLE}: ns= may hold small letters, digits and hyphens.")
    return text


def _no_key() -> tuple[tuple[str, bytes], ...]:
    raise InvalidDsn(f"{DSN_VARIABLE} needs at least one key=.")


# --- for a settings file ---------------------------------------------------------------------


def secret_keys(dsn: str | None = None) -> list[str]:
    """The site's ``SECRET_KEY`` and its fallbacks, newest first.

    Without a valid DSN: one random key, so that commands like ``collectstatic`` work where nothing
    is secret. Check ``sso.E001`` or ``sso.E002`` then says what is wrong, and the middleware refuses
    to start.
    """
    parsed = _from_environment(dsn)
    if parsed is None:
        return [random.token_urlsafe(KEY_BYTES)]
    return [keys.django_secret_key for keys in parsed.site_keys]


def cache(dsn: str | None = None) -> dict[str, Any]:
    """The value of ``CACHES["sso"]``: django-redis, with the time limits the promises need."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    parsed = _from_environment(dsn)
    options: dict[str, Any] = {
        "SOCKET_CONNECT_TIMEOUT": CONNECT_TIMEOUT,
        "SOCKET_TIMEOUT": READ_TIMEOUT,
        # redis-py's own default waits up to ten seconds between three retries.
        "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 1)},
    }
    location: str | list[str] = parsed.redis_login_url if parsed is not None else "redis://127.0.0.1:1/0"
    if parsed is not None and parsed.is_cluster:
        options["CONNECTION_FACTORY"] = "sso_common.cluster.ConnectionFactory"
        # A list, or django-redis would take commas for those between a primary and its replicas.
        location = [parsed.redis_login_url]
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options}


def _from_environment(text: str | None) -> Dsn | None:
    """The DSN, or None: a settings file that raises would leave no check to say why."""
    try:
        return parse_dsn(os.environ.get(DSN_VARIABLE, "") if text is None else text)
    except InvalidDsn:
        return None


# --- read live -------------------------------------------------------------------------------


def dsn_text() -> str:
    """``settings.SSO_DSN`` where it is set (the portal, tests), else the environment variable."""
    return str(getattr(settings, DSN_VARIABLE, "") or os.environ.get(DSN_VARIABLE, ""))


@functools.lru_cache(maxsize=1)
def dsn() -> Dsn:
    """The site's DSN, remembered until a test overrides the setting. Raises ``InvalidDsn``."""
    text = dsn_text()
    if not text:
        raise InvalidDsn(f"{DSN_VARIABLE} is not set.")
    return parse_dsn(text)


@receiver(setting_changed, dispatch_uid="sso_common.conf")
def _forget_dsn(*, setting: str, **kwargs: Any) -> None:
    if setting == DSN_VARIABLE:
        dsn.cache_clear()


def site() -> str:
    """This site's name."""
    return dsn().site


def namespace() -> str:
    """The first word of every key in Redis."""
    return dsn().namespace


def domain() -> str:
    """The parent domain, without a leading dot."""
    return dsn().domain


def public_keys() -> tuple[tuple[str, bytes], ...]:
    """The portal's public keys, newest first."""
    return dsn().public_keys


def cookie_name() -> str:
    """The SSO cookie's name."""
    return dsn().cookie_name


def portal_url() -> str:
    """The portal's origin as browsers reach it."""
    return dsn().portal_url


def portal_internal_url() -> str:
    """The portal's origin as this server reaches it (default: as browsers do)."""
    url = getattr(settings, INTERNAL_URL_VARIABLE, "") or os.environ.get(INTERNAL_URL_VARIABLE, "")
    return str(url).rstrip("/") or portal_url()


def _typed(name: str, default: Any, kind: type | tuple[type, ...]) -> Any:
    value = getattr(settings, name, default)
    # A wrong type is reported by check sso.E012; a request must not depend on a guess.
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind}, not {type(value).__name__}.")
    return value


#: name -> (default, accepted types); the checks and the README list go by it.
SETTINGS: Final[dict[str, tuple[Any, tuple[type, ...]]]] = {
    "SSO_STAFF_ROLES": ((), (list, tuple, set, frozenset)),
    "SSO_ROLE_GROUPS": ({}, (dict,)),
    "SSO_USER_MAPPER": ("sso_common.users.UserMapper", (str,)),
    "SSO_ADOPT_SESSION": ("sso_common.sessions.adopt", (str,)),
    "SSO_HARD_DELETE": (False, (bool,)),
    "SSO_TOUCH_INTERVAL": (60, (int,)),
    "SSO_FEED_PAGE": (500, (int,)),
    "SSO_POLL_INTERVAL": (5, (int,)),
}


def _setting(name: str) -> Any:
    default, kinds = SETTINGS[name]
    return _typed(name, default, kinds)


def staff_roles() -> frozenset[str]:
    """Roles at this site that make a user ``is_staff``. Default: none."""
    return frozenset(_setting("SSO_STAFF_ROLES"))


def role_groups() -> dict[str, str]:
    """Role at this site -> name of the local group that its holders join. Default: none."""
    return dict(_setting("SSO_ROLE_GROUPS"))


def user_mapper() -> Callable[[], Any]:
    """The class that maps a snapshot to local fields; default ``sso_common.users.UserMapper``."""
    mapper: Callable[[], Any] = import_string(_setting("SSO_USER_MAPPER"))
    return mapper


def adopt_session() -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """What of an anonymous session moves into the signed-in one; see ``sessions.adopt``."""
    hook: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = import_string(
        _setting("SSO_ADOPT_SESSION")
    )
    return hook


def hard_delete() -> bool:
    """Whether a deletion at the portal deletes the local row, too. Default: blank and keep it."""
    return bool(_setting("SSO_HARD_DELETE"))


def touch_interval() -> int:
    """Seconds between two extensions of a session's idle timeout. Default: 60."""
    return int(_setting("SSO_TOUCH_INTERVAL"))


def feed_page() -> int:
    """Users fetched from the feed at a time. Default: 500."""
    return int(_setting("SSO_FEED_PAGE"))


def poll_interval() -> int:
    """Seconds between two looks at the feed when no event wakes it. Default: 5."""
    return int(_setting("SSO_POLL_INTERVAL"))
