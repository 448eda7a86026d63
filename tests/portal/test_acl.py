"""The Redis user of a site can do all that ``sso_common`` does, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
from django.conf import settings
from django.test import override_settings
from redis.exceptions import NoPermissionError

from portal import keys
from portal.registry import services
from portal.registry.dsns import dsn_for
from portal.registry.models import Site
from sso_common import conf, sessions, store
from tests.servers import ValkeyServer

SID = "AAAAAAAAAAAAAAAAAAAAAA"
SUB = "6f2f0e52-0f8a-4d0c-93f1-6a3cf1a1b0c1"


@pytest.fixture
def site() -> Site:
    return services.register("site_a", "https://a.sso.localhost")


@pytest.fixture
def other() -> Site:
    return services.register("site_b", "https://b.sso.localhost")


def connect(name: str, generation: int = 0) -> redis.Redis:
    """Connect with a site's credentials. ``generation`` counts from the newest."""
    dsn = dsn_for(name)
    parts = urlsplit(dsn.redis_url)
    password = dsn.site_keys[generation].redis_password
    return redis.Redis(parts.hostname, parts.port, username=dsn.redis_user, password=password)


@contextlib.contextmanager
def at_site(name: str) -> Iterator[None]:
    """Run ``sso_common`` as it runs at the site."""
    text = str(dsn_for(name))
    with override_settings(SSO_DSN=text, CACHES={**settings.CACHES, "sso": conf.cache(text)}):
        yield


def test_site_can_do_all_that_sso_common_does(site: Site, valkey: ValkeyServer) -> None:
    valkey.admin.set(store.identity_key("sso", SID), b"record", ex=100)
    with at_site("site_a"):
        store.ping()
        assert store.run(store.read_session(SID, "key")).record == b"record"
        assert store.run(store.save_site_session(SID, store.Changes(put={b"a": b"1"}), 100))
        assert store.run(store.save_anonymous("key", store.Changes(put={b"b": b"2"}), 100, create=True))
        assert store.run(store.anonymous_exists("key"))
        assert store.run(store.claim_anonymous(SID, "key")) is not None
        assert store.run(store.adopt_anonymous(SID, "key", {b"b": b"2"}, 100))
        assert store.run(store.read_session(SID)).fields.items() >= {(b"a", b"1"), (b"b", b"2")}
        assert store.run(store.announce_once(SID, 100, 400_000))
        store.run(store.forget_announcement(SID))
        store.run(store.extend_session(SID, 500_000))
        assert store.wait_for_user_event("$", 50) is None
        session = sessions.SessionStore()
        session["x"] = 1
        session.save()
        session.cycle_key()
        session.flush()
        store.run(store.delete_site_session(SID))
        store.run(store.end_session(SID, SUB))
        assert store.run(store.read_session(SID)).record is None
        assert conf.dsn().site == "site_a"
        assert store.client().acl_whoami() == "sso-site_a"
        assert "redis_version" in store.client().info()


FOREIGN = [
    "sso:{%s}:site:site_b",
    "sso:{%s}:site:portal",
    "sso:{%s}:site:site_a2",
    "sso:{%s}:site:",
    "sso:{%s}",
    "sso:anon:site_b:{%s}",
    "sso:anon:site_a2:{%s}",
    "sso:anon:site_a{%s}",
    "sso:user:%s",
    "sso:nonce:site_a:%s",
    "sso:portal-cache:1:%s",
    "sso:%s",
    "staging:{%s}:identity",
    "staging:{%s}:site:site_a",
    "other%s",
]


COMMANDS = [
    "GET",
    "PTTL",
    "EXISTS",
    "HGETALL",
    "HSET f v",
    "HSETNX f v",
    "HDEL f",
    "UNLINK",
    "PEXPIRE 1",
    "XADD * f v",
]


@pytest.mark.parametrize("pattern", FOREIGN)
def test_attack_site_uses_foreign_keys(site: Site, other: Site, pattern: str) -> None:
    connection = connect("site_a")

    for command in COMMANDS:
        name, *arguments = command.split()
        with pytest.raises(NoPermissionError):
            connection.execute_command(name, pattern % SID, *arguments)


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "record"),
        ("SETEX", "10", "record"),
        ("GETSET", "record"),
        ("GETDEL",),
        ("APPEND", "x"),
        ("SETRANGE", "0", "x"),
        ("DEL",),
        ("PERSIST",),
        ("RESTORE", "0", "x"),
        ("RENAME", "sso:{x}:site:site_a"),
        ("COPY", "sso:{x}:site:site_a"),
        ("HSET", "f", "v"),
        ("DUMP",),
    ],
    ids=lambda command: command[0],
)
def test_attack_site_writes_an_identity_record(
    site: Site, valkey: ValkeyServer, command: tuple[str, ...]
) -> None:
    identity = store.identity_key("sso", SID)
    valkey.admin.set(identity, b"record", ex=100)
    name, *arguments = command

    with pytest.raises(NoPermissionError):
        connect("site_a").execute_command(name, identity, *arguments)

    assert valkey.admin.get(identity) == "record"


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("return redis.call('SET', KEYS[1], 'forged')", True),
        ("return redis.call('SET', 'sso:{AAAAAAAAAAAAAAAAAAAAAA}:identity', 'forged')", False),
        ("return redis.call('SET', ARGV[1], 'forged')", False),
        ("return redis.call('HGETALL', 'sso:{AAAAAAAAAAAAAAAAAAAAAA}:site:site_b')", False),
    ],
)
def test_attack_script_of_a_site_uses_foreign_keys(
    site: Site, other: Site, valkey: ValkeyServer, script: str, *, named: bool
) -> None:
    identity = store.identity_key("sso", SID)
    valkey.admin.set(identity, b"record", ex=100)
    valkey.admin.hset(store.site_key("sso", SID, "site_b"), "cart", "1")
    keys_and_arguments = [1, identity] if named else [0, identity]

    with pytest.raises(redis.ResponseError, match=r"permission|ACL|can't (access|run)"):
        connect("site_a").eval(script, *keys_and_arguments)

    assert valkey.admin.get(identity) == "record"


@pytest.mark.parametrize(
    "command",
    [
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "DBSIZE",
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET *",
        "CONFIG SET maxmemory 1",
        "ACL LIST",
        "ACL GETUSER sso-portal",
        "ACL SETUSER sso-site_a allcommands",
        "ACL DRYRUN sso-site_b GET x",
        "CLIENT LIST",
        "CLIENT KILL ID 1",
        "MONITOR",
        "SHUTDOWN",
        "REPLICAOF no one",
        "SUBSCRIBE x",
        "PUBLISH x y",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "SLOWLOG GET",
        "MEMORY USAGE x",
        "SORT sso:events",
        "MULTI",
        "XTRIM sso:events MAXLEN 0",
        "UNLINK sso:events",
        "PEXPIRE sso:events 1",
        "XGROUP CREATE sso:events g $",
        "SWAPDB 0 1",
        "BGSAVE",
        "SAVE",
        "WAIT 0 0",
    ],
)
def test_attack_site_runs_an_administrative_command(site: Site, command: str) -> None:
    with pytest.raises(NoPermissionError):
        connect("site_a").execute_command(*command.split())


def test_finished_rotation_closes_connections_of_the_old_password(site: Site) -> None:
    stolen = connect("site_a")
    stolen.ping()
    services.begin_rotation(site)
    assert stolen.ping()

    services.finish_rotation(site)

    with pytest.raises(redis.exceptions.AuthenticationError):
        stolen.ping()


def test_redis_accepts_both_passwords_during_a_rotation_and_then_only_the_new_one(site: Site) -> None:
    services.begin_rotation(site)
    assert connect("site_a", 0).ping()
    previous = connect("site_a", 1)
    assert previous.ping()

    services.finish_rotation(site)

    assert connect("site_a", 0).ping()
    previous.connection_pool.disconnect()
    with pytest.raises(redis.AuthenticationError):
        previous.ping()


def test_removed_site_is_disconnected_and_its_old_password_stays_invalid(site: Site) -> None:
    old = connect("site_a")
    assert old.ping()

    services.remove(site)
    with pytest.raises((redis.ConnectionError, redis.AuthenticationError)):
        old.execute_command("PING")

    services.register("site_a", "https://a.sso.localhost")
    old.connection_pool.disconnect()
    with pytest.raises(redis.AuthenticationError):
        old.ping()
    assert connect("site_a").ping()


def test_redis_users_survive_a_restart(site: Site, valkey: ValkeyServer) -> None:
    valkey.restart()

    assert connect("site_a").ping()


def test_shipped_portal_user_has_the_permissions_that_the_portal_needs(valkey: ValkeyServer) -> None:
    from demo.valkey import users

    for line in users("sso", "operator-password", "portal-password").splitlines():
        if "user sso-portal" in line:
            valkey.admin.execute_command("ACL SETUSER", *line.split()[1:])
    parts = urlsplit(valkey.url)
    url = f"redis://sso-portal:portal-password@{parts.hostname}:{parts.port}/0"
    dsn = str(keys.portal_dsn_from({"SSO_REDIS_URL": url}, keys.keyring()))

    with override_settings(SSO_DSN=dsn, CACHES={**settings.CACHES, "sso": conf.cache(dsn)}):
        site = services.register("site_c", "https://c.sso.localhost")
        assert connect("site_c").ping()
        services.remove(site)
        assert store.client().acl_whoami() == "sso-portal"
        with pytest.raises(NoPermissionError):
            store.client().execute_command("FLUSHALL")
