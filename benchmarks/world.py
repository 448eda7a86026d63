"""What both projects run on: a Valkey and a database, with a user who is signed in at both.

All files are in a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import VALKEY_URL, valkey_server

#: Session size -> data as an application stores it.
SESSIONS: Mapping[str, Mapping[str, Any]] = {
    "3 keys": {
        "theme": "dark",
        "cart": [{"sku": f"A-{number}", "quantity": number} for number in range(1, 4)],
        "seen_at": "2020-02-02T20:20:20+00:00",
    },
    "20 keys": {
        "theme": "dark",
        **{f"wizard_step_{number}": {"done": True, "answer": "x" * 40} for number in range(19)},
    },
}
TYPICAL = "3 keys"


@dataclass(frozen=True, slots=True)
class World:
    """Environment and cookies of the projects. The user has a session of each size at both."""

    environment: Mapping[str, str]
    #: Session size -> the SSO cookie's value.
    tokens: Mapping[str, str]
    #: Session size -> the key of the stock session, which also contains Django's authentication keys.
    stock_keys: Mapping[str, str]
    #: Session size -> the keys of two anonymous sessions, ours and stock's.
    anonymous_keys: Mapping[str, tuple[str, str]]
    server: str

    def environment_of(self, project: str) -> dict[str, str]:
        """The environment of a project's processes."""
        return {**os.environ, **self.environment, "DJANGO_SETTINGS_MODULE": f"benchmarks.{project}"}

    def cookie(self, project: str) -> str:
        """The Cookie header for a project, with the typical session."""
        if project == "ours":
            return f"__Secure-sso={self.tokens[TYPICAL]}"
        return f"sessionid={self.stock_keys[TYPICAL]}"


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Start Valkey, set Django up with the settings of ``ours.py``, and create the sessions."""
    from sso_common.testing import make_dsn

    with valkey_server() as valkey, tempfile.TemporaryDirectory(prefix="sso-bench-") as folder:
        environment = {
            "BENCH_REDIS_URL": VALKEY_URL,
            "BENCH_DATABASE": str(Path(folder, "both.sqlite3")),
            "BENCH_SHARED_SECRET_KEY": secrets.token_urlsafe(48),
            "SSO_DSN": make_dsn("site_a", VALKEY_URL, domain="example.com", namespace="sso"),
        }
        os.environ.update(environment, DJANGO_SETTINGS_MODULE="benchmarks.ours")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        info = valkey.admin.info("server")
        yield World(
            environment=environment,
            server=f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}",
            **create_sessions(environment["BENCH_SHARED_SECRET_KEY"]),
        )


def create_sessions(shared_secret_key: str) -> dict[str, Any]:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.cache import SessionStore as StockStore
    from django.test import override_settings

    from sso_common import testing
    from sso_common.sessions import SessionStore
    from sso_common.tokens import mint_token
    from sso_common.users import resolve_user

    tokens, stock_keys, anonymous_keys = {}, {}, {}
    for size, data in SESSIONS.items():
        token = mint_token()
        # Access to five sites and two roles on each make a record of typical size.
        sites = {f"site_{letter}": ("editor", "staff") for letter in "abcde"}
        identity = testing.make_identity(token, "anna", sites=sites, first_name="Anna", last_name="Arendt")
        testing.store_record(token.sid, testing.sign_record(identity))
        user = resolve_user(identity)
        with override_settings(SECRET_KEY=shared_secret_key):
            authentication = {
                SESSION_KEY: str(user.pk),
                BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                HASH_SESSION_KEY: user.get_session_auth_hash(),
            }
        save(SessionStore(token=token), data)
        tokens[size] = token.value
        stock_keys[size] = save(StockStore(), {**authentication, **data})
        anonymous_keys[size] = (save(SessionStore(), data), save(StockStore(), data))
    return {"tokens": tokens, "stock_keys": stock_keys, "anonymous_keys": anonymous_keys}


def save(session: Any, data: Mapping[str, Any]) -> str:
    session.update(data)
    session.save()
    return str(session.session_key)
