"""For a site's own tests: sign users in without a portal.

In the test settings, before anything else::

    os.environ["SSO_DSN"] = sso_common.testing.make_dsn("my_site", "redis://127.0.0.1:6379/15")

and in a test::

    identity = sso_common.testing.sign_in(client, "anna", roles=["editor"])

Records are signed with a key that each process makes for itself and never stores, so they open no session
anywhere else. They are stored in a real Redis or Valkey.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from http.cookies import SimpleCookie
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from asgiref.sync import sync_to_async
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from . import conf, store
from .dsn import Dsn
from .identity import Ed25519, Identity, encode_payload, record_signer
from .keys import KEY_BYTES, derive, key_id
from .snapshot import UserSnapshot
from .tokens import SessionToken, mint_token, parse_token

_private_key: Final = Ed25519PrivateKey.generate()

#: (kid, raw public key) of this process's portal.
PUBLIC_KEY: Final = (
    key_id(_private_key.public_key().public_bytes_raw()),
    _private_key.public_key().public_bytes_raw(),
)

_SUBJECTS: Final = uuid.UUID("9a5a0f5e-0d0e-4b6e-8f5b-2f2f3c1b7f0e")


class _TestSigner(Ed25519):
    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return self.private_key.sign(value)


def make_dsn(
    site: str,
    redis_url: str,
    *,
    domain: str = "sso.testserver",
    portal_url: str = "https://portal.sso.testserver",
    namespace: str = "sso-test",
) -> str:
    """Return a DSN that trusts only this process's key. ``redis_url`` may contain credentials.

    >>> make_dsn("notes", "redis://127.0.0.1:6379/15").partition(":")[0]
    'https'
    """
    return str(
        Dsn(
            portal_url=portal_url,
            site=site,
            secrets=(derive(b"only for tests".ljust(KEY_BYTES, b"."), f"site:{site}"),),
            domain=domain,
            redis_url=redis_url if "@" in redis_url else redis_url.replace("://", "://default:@"),
            public_keys=(PUBLIC_KEY,),
            namespace=namespace,
        )
    )


def subject(username: str) -> uuid.UUID:
    """Return the ``sub`` of a username in tests. It is always the same.

    >>> subject("anna") == subject("anna") != subject("ben")
    True
    """
    return uuid.uuid5(_SUBJECTS, username)


def make_identity(
    token: SessionToken,
    username: str = "anna",
    *,
    roles: Iterable[str] = (),
    sites: Mapping[str, Iterable[str]] | None = None,
    auth_time: int | None = None,
    lifetime: int = 7 * 86400,
    idle: int = 12 * 3600,
    amr: tuple[str, ...] = ("pwd",),
    **claims: Any,
) -> Identity:
    """Return an identity as the portal would issue it now.

    ``roles`` are those at this site. ``sites`` overrides them; an empty mapping means no access to any
    site. ``claims`` are fields of ``UserSnapshot``. Durations are in seconds.

    >>> from sso_common.tokens import mint_token
    >>> make_identity(mint_token(), "anna", first_name="Anna").user.display_name
    'Anna'
    """
    now = int(time.time())
    admitted = {conf.dsn().site: roles} if sites is None else sites
    user = UserSnapshot(sub=subject(username), version=1, username=username, email=f"{username}@example.com")
    return Identity(
        sid=token.sid,
        bind=token.bind,
        auth_time=now if auth_time is None else auth_time,
        iat=now,
        exp=now + lifetime,
        idle=idle,
        amr=amr,
        user=replace(user, **claims),
        sites=MappingProxyType({site: frozenset(roles) for site, roles in admitted.items()}),
    )


def sign_record(identity: Identity, private_key: Ed25519PrivateKey = _private_key) -> bytes:
    """Return the record of an identity, signed with this process's key or another one."""
    kid = key_id(private_key.public_key().public_bytes_raw())
    signer = record_signer(b"unused", _TestSigner(private_key))
    return signer.sign(encode_payload(identity, kid))


def store_record(sid: str, record: bytes, idle: int = 12 * 3600) -> None:
    """Store a record where the portal would store it, for ``idle`` seconds."""
    store.ask([("SET", store.identity_key(conf.dsn().namespace, sid), record, "PX", idle * 1000)])


def sign_in(client: Any, username: str = "anna", **options: Any) -> Identity:
    """Sign a user in for the requests of a Django test ``Client`` or ``AsyncClient``.

    ``options`` are those of ``make_identity``. The first request creates the local user, as after a real
    sign-in. Returns the identity::

        identity = sign_in(client, "anna", roles=["editor"])
        assert client.get("/").context["user"].username == "anna"
    """
    if PUBLIC_KEY not in conf.dsn().public_keys:
        raise RuntimeError("This site does not trust the test key: set SSO_DSN to make_dsn(…).")
    token = mint_token()
    identity = make_identity(token, username, **options)
    store_record(token.sid, sign_record(identity), identity.idle)
    client.cookies[conf.dsn().cookie_name] = token.value
    if not isinstance(client, SignedInMixin):
        client.__class__ = type(type(client).__name__, (SignedInMixin, type(client)), {})
    return identity


class SignedInMixin:
    """Makes ``client.session`` the session that the client's next request will have.

    Django's own knows the session cookie only, so it would be another, empty session.
    """

    cookies: SimpleCookie

    @property
    def session(self) -> Any:
        """The session behind both cookies."""
        sso, own = self.cookies.get(conf.dsn().cookie_name), self.cookies.get(settings.SESSION_COOKIE_NAME)
        if sso is None or not sso.value:
            return super().session  # type: ignore[misc]
        key = own.value if own is not None else None
        return import_module(settings.SESSION_ENGINE).SessionStore(key, token=parse_token(sso.value))

    async def asession(self) -> Any:
        """``session`` for async code."""
        return await sync_to_async(lambda: self.session)()


def sign_out(client: Any) -> None:
    """End the session of a test client as another site would: the cookie stays, the record goes."""
    token = client.cookies[conf.dsn().cookie_name].value
    store.ask([("UNLINK", store.identity_key(conf.dsn().namespace, token.partition(".")[0]))])
