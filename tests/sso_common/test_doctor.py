"""The doctor, against a real Valkey with real users, a real database and a portal over real HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from sso_common import conf, doctor, rights, store
from sso_common.doctor import Bounded, Finding, Level
from sso_common.models import FeedCursor
from sso_common.testing import PUBLIC_KEY, make_dsn
from tests.servers import VALKEY_PORT, VALKEY_URL, ValkeyServer
from tests.sso_common.portal import Portal
from tests.timing import WAIT, tries_within

ROOT = Path(__file__).resolve().parents[2]

#: What DESIGN.md promises of a site's Redis user. (The portal's own rules: tests/portal/test_doctor.py.)
RULES = (
    "%R~sso-test:{*}:identity",
    "~sso-test:{*}:site:site_a",
    "~sso-test:anon:site_a:*",
    *("+auth", "+hello", "+ping", "+select", "+client|setname", "+info", "+acl|whoami"),
    *("+get", "+pttl", "+exists", "+hgetall"),
    *("+hset", "+hsetnx", "+hdel", "+unlink", "+pexpire", "+eval", "+evalsha"),
    "(%W~sso-test:{*}:identity +unlink +pexpire)",
    "(~sso-test:events +xadd +xread)",
)


def site_dsn(**changes: Any) -> conf.Dsn:
    """The DSN of a site with a Redis user of its own."""
    dsn = conf.parse_dsn(make_dsn("site_a", VALKEY_URL))
    return replace(dsn, redis_url=f"redis://127.0.0.1:{VALKEY_PORT}/0", **changes)


@contextlib.contextmanager
def as_site(
    valkey: ValkeyServer, rules: tuple[str, ...] = RULES, dsn: conf.Dsn | None = None
) -> Iterator[None]:
    """Be a site whose Redis user has these rights."""
    dsn = dsn or site_dsn()
    password = hashlib.sha256(dsn.site_keys[0].redis_password.encode()).hexdigest()
    valkey.admin.execute_command("ACL SETUSER", dsn.redis_user, "reset", "on", f"#{password}", *rules)
    caches = settings.CACHES | {"sso": conf.cache(str(dsn))}
    with override_settings(SSO_DSN=str(dsn), CACHES=caches):
        yield
    valkey.admin.execute_command("ACL DELUSER", dsn.redis_user)


def without(*rules: str) -> tuple[str, ...]:
    assert set(rules) <= set(RULES)
    return tuple(rule for rule in RULES if rule not in rules)


def contents(valkey: ValkeyServer) -> dict[Any, Any]:
    return {key: valkey.admin.dump(key) for key in valkey.admin.scan_iter()}


def only(findings: Any, check: str) -> Finding:
    """The one finding of a check."""
    [found] = [finding for finding in findings if finding.check == check]
    return found


@pytest.fixture
def portal() -> Iterator[Portal]:
    double = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=double.url):
        yield double
    double.close()


# --- what this site's Redis user may do --------------------------------------------------------


def test_the_promised_rights_are_enough_and_not_too_much(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        findings = list(doctor.redis_rights())

    assert [(finding.check, finding.level) for finding in findings] == [
        ("redis.user", Level.OK),
        ("redis.rights", Level.OK),
    ]


@pytest.mark.parametrize(
    ("removed", "what"),
    [
        ("%R~sso-test:{*}:identity", "read identity records"),
        ("+get", "read identity records"),
        ("+pttl", "read identity records"),
        ("(%W~sso-test:{*}:identity +unlink +pexpire)", "end a session"),
        ("(%W~sso-test:{*}:identity +unlink +pexpire)", "keep a session alive"),
        ("~sso-test:{*}:site:site_a", "read its own sessions"),
        ("~sso-test:{*}:site:site_a", "save its own sessions by a script"),
        ("+hgetall", "read its own anonymous sessions"),
        ("+hdel", "write its own sessions"),
        ("+hset", "save its own anonymous sessions by a script"),
        ("+eval", "save its own sessions by a script"),
        ("~sso-test:anon:site_a:*", "save its own anonymous sessions by a script"),
        ("~sso-test:anon:site_a:*", "delete its own anonymous sessions"),
        ("(~sso-test:events +xadd +xread)", "append to the events"),
        ("(~sso-test:events +xadd +xread)", "read the events"),
    ],
)
def test_a_right_that_is_missing_is_named(valkey: ValkeyServer, removed: str, what: str) -> None:
    with as_site(valkey, without(removed)):
        valkey.admin.script_flush()
        findings = list(doctor.redis_rights())

    finding = only(findings, "redis.rights")
    assert finding.level is Level.FAILURE
    assert what in finding.message
    assert "manage.py sso_site acl" in finding.fix


@pytest.mark.parametrize(
    ("added", "what"),
    [
        ("%W~sso-test:{*}:identity", "write identity records"),
        ("(%W~sso-test:{*}:identity +set)", "write identity records"),
        ("(~sso-test:{*}:identity +eval)", "write identity records by a script"),
        ("~sso-test:{*}:site:*", "read other sites' sessions"),
        ("~sso-test:{*}:site:site_a*", "write other sites' sessions"),
        ("~sso-test:anon:site_a*", "read other sites' sessions"),
        ("(~sso-test:user:* +@read)", "read the portal's index of sessions"),
        ("(~sso-test:user:* +@write)", "write the portal's index of sessions"),
        ("%R~sso-test:nonce:*", "read the portal's nonces"),
        ("(~sso-test:nonce:* +set)", "write the portal's nonces"),
        ("%W~sso-test:nonce:site_a:*", "delete the portal's nonces"),
        ("%R~*", "read keys of others"),
        ("%W~*", "write keys of others"),
        ("(~sso-test:events +@stream)", "delete events"),
        ("+scan", "SCAN"),
        ("+dbsize", "DBSIZE"),
        ("+config|get", "CONFIG"),
        ("+@admin", "ACL"),
        ("+slowlog", "SLOWLOG"),
        ("+function", "FUNCTION"),
        ("+@all", "PUBLISH"),
    ],
)
def test_a_right_that_is_too_much_is_named(valkey: ValkeyServer, added: str, what: str) -> None:
    extra = (added, "allchannels") if what == "PUBLISH" else (added,)
    with as_site(valkey, (*RULES, *extra)):
        findings = list(doctor.redis_rights())

    finding = only(findings, "redis.rights")
    assert finding.level is Level.FAILURE
    assert "too much" in finding.message
    assert what in finding.message


def test_probing_changes_nothing_even_for_a_user_who_may_do_everything(valkey: ValkeyServer) -> None:
    valkey.admin.hset("sso-test:{other}:site:site_b", "cart", "3")
    valkey.admin.set("sso-test:{other}:identity", "record")
    valkey.admin.xadd("sso-test:events", {"type": "user"})
    before = contents(valkey)

    with as_site(valkey, ("~*", "&*", "+@all")):
        missing, excessive = rights.missing_rights(), rights.excessive_rights()

    assert missing == []
    assert len(excessive) > 10
    assert contents(valkey) == before
    assert before


def test_the_operators_user_is_not_a_sites(valkey: ValkeyServer) -> None:
    findings = list(doctor.redis_rights())

    assert only(findings, "redis.user").level is Level.WARNING
    assert "'default'" in only(findings, "redis.user").message
    assert only(findings, "redis.rights").level is Level.FAILURE


def test_full_memory_is_no_missing_right(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.admin.config_set("maxmemory", "1")
        findings = list(doctor.redis_rights())
        memory = only(doctor.redis_server(), "redis.eviction")

    assert "OutOfMemoryError" in only(findings, "redis.rights").message
    assert memory.level is Level.FAILURE
    assert "maxmemory" in memory.fix


# --- Redis itself ------------------------------------------------------------------------------


def test_the_shipped_redis_is_well(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        findings = [*doctor.redis_reachable(), *doctor.redis_server()]

    assert [finding.check for finding in findings] == [
        "redis.reachable",
        "redis.version",
        "redis.role",
        "redis.persistence",
        "redis.eviction",
    ]
    assert {finding.level for finding in findings} == {Level.OK}
    assert findings[1].message.startswith(("Valkey ", "Redis "))


@contextlib.contextmanager
def configured(valkey: ValkeyServer, name: str, value: str) -> Iterator[None]:
    before = valkey.admin.config_get(name)[name]
    valkey.admin.config_set(name, value)
    yield
    valkey.admin.config_set(name, before)


def test_eviction_is_a_failure(valkey: ValkeyServer) -> None:
    with as_site(valkey), configured(valkey, "maxmemory-policy", "allkeys-lru"):
        finding = only(doctor.redis_server(), "redis.eviction")

    assert finding.level is Level.FAILURE
    assert "allkeys-lru" in finding.message
    assert "maxmemory-policy noeviction" in finding.fix


def test_almost_full_memory_is_a_warning(valkey: ValkeyServer) -> None:
    used = int(valkey.admin.info("memory")["used_memory"])
    with as_site(valkey), configured(valkey, "maxmemory", str(int(used * 1.08))):
        finding = only(doctor.redis_server(), "redis.eviction")

    assert finding.level is Level.WARNING
    assert "maxmemory" in finding.fix


def test_no_append_only_file_is_a_warning(valkey: ValkeyServer) -> None:
    with as_site(valkey), configured(valkey, "appendonly", "no"):
        finding = only(doctor.redis_server(), "redis.persistence")

    assert finding.level is Level.WARNING
    assert "appendonly yes" in finding.fix


def test_a_replica_is_a_failure(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.admin.replicaof("127.0.0.1", str(VALKEY_PORT + 1))
        try:
            finding = only(doctor.redis_server(), "redis.role")
        finally:
            valkey.admin.replicaof("no", "one")

    assert finding.level is Level.FAILURE
    assert "primary's address" in finding.fix


@pytest.mark.parametrize(
    ("server", "level"),
    [
        ({"redis_version": "6.2.14"}, Level.FAILURE),
        ({"redis_version": "7.0.0"}, Level.OK),
        ({"redis_version": "8.2.1"}, Level.OK),
        ({"redis_version": "10.0.0"}, Level.OK),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5", "server_name": "valkey"}, Level.OK),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0", "server_name": "valkey"}, Level.OK),
        ({"redis_version": ""}, Level.FAILURE),
    ],
)
def test_old_servers_are_refused(server: dict[str, str], level: Level) -> None:
    assert doctor._version(server, "").level is level


def test_a_server_that_never_saved_in_hours_saves_nothing() -> None:
    finding = doctor._persistence(
        {"aof_enabled": 0, "rdb_changes_since_last_save": 9, "rdb_saves": 0}, {"uptime_in_seconds": 9000}, ""
    )

    assert finding.level is Level.FAILURE
    assert "appendonly yes" in finding.fix


def test_rights_from_before_the_doctor_are_reported_and_no_crash(valkey: ValkeyServer) -> None:
    with as_site(valkey, without("+info", "+acl|whoami")):
        findings = [*doctor.redis_server(), *doctor.redis_rights()]

    assert only(findings, "redis.server").level is Level.WARNING
    assert only(findings, "redis.user").level is Level.WARNING
    assert only(findings, "redis.rights").level is Level.OK


def test_a_wrong_redis_password_says_so(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.admin.execute_command("ACL SETUSER", site_dsn().redis_user, "resetpass", ">another")
        valkey.admin.execute_command("CLIENT", "KILL", "USER", site_dsn().redis_user)
        store.client().connection_pool.disconnect()
        [finding] = doctor.redis_reachable()

    assert finding.level is Level.FAILURE
    assert "refuses this site's user or password" in finding.message
    assert "manage.py sso_site dsn site_a" in finding.fix


def test_a_dead_redis_is_reported_at_once(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.kill()
        for attempt in tries_within(2):
            with attempt:
                [finding] = doctor.redis_reachable()
        valkey.start()

    assert finding.level is Level.FAILURE
    assert f"127.0.0.1:{VALKEY_PORT}" in finding.message


def test_a_hanging_redis_is_reported_in_bounded_time(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.pause()
        for attempt in tries_within(3):
            store.outage.end()
            with attempt:
                [finding] = doctor.redis_reachable()
        valkey.resume()

    assert finding.level is Level.FAILURE
    assert "does not answer" in finding.message


# --- the portal --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_portal_that_is_well(portal: Portal) -> None:
    FeedCursor.objects.create(position=0, head=0, synced_at=timezone.now())

    findings = list(doctor.portal())

    assert [finding.check for finding in findings] == [
        "portal.reachable",
        "portal.secret",
        "portal.clock",
        "portal.keys",
        "feed",
    ]
    assert {finding.level for finding in findings} == {Level.OK}


def test_a_portal_that_is_down_is_a_failure_that_says_what_it_means(portal: Portal) -> None:
    portal.close()

    findings = list(doctor.portal())

    assert only(findings, "portal.reachable").level is Level.FAILURE
    assert "Nobody can sign in; who is signed in stays so." in only(findings, "portal.reachable").message
    assert "SSO_PORTAL_INTERNAL_URL" in only(findings, "portal.reachable").fix
    assert only(findings, "feed").level is Level.WARNING
    assert only(findings, "feed").message.startswith("Not examined")


@pytest.mark.parametrize(
    ("status", "headers", "body", "check", "message"),
    [
        (401, {}, {"error": "bad-signature", "time": 0}, "portal.secret", "no active site named site_a, or"),
        (401, {}, {"error": "stale", "time": 0}, "portal.clock", "the clocks disagree"),
        (301, {"Location": "https://portal.example.com/"}, {}, "portal.reachable", "a redirect to"),
        (502, {}, {}, "portal.reachable", "HTTP 502"),
        (200, {"SSO-Signature": ""}, {}, "portal.keys", "not signed with a key that this site knows"),
        (200, {"SSO-Signature": f"{PUBLIC_KEY[0]}.AAAA"}, {}, "portal.keys", "not signed with a key"),
    ],
)
def test_what_the_portal_objects_to_is_one_failure_with_its_fix(
    portal: Portal, status: int, headers: dict[str, str], body: dict[str, Any], check: str, message: str
) -> None:
    portal.tamper = lambda *answer: (status, headers, json.dumps(body).encode())

    findings = list(doctor.portal())

    failures = [finding for finding in findings if finding.level is Level.FAILURE]
    assert [finding.check for finding in failures] == [check]
    assert message in failures[0].message
    assert failures[0].fix


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("skew", "level"), [(0.5, Level.OK), (5, Level.WARNING), (-5, Level.WARNING), (45, Level.FAILURE)]
)
def test_clocks_that_disagree(portal: Portal, skew: float, level: Level) -> None:
    healthy = portal.status
    portal.status = lambda: healthy() | {"time": time.time() + skew}  # type: ignore[method-assign]

    finding = only(doctor.portal(), "portal.clock")

    assert finding.level is level
    assert ("NTP" in finding.fix) == (level is not Level.OK)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kids", "message"),
    [
        ([PUBLIC_KEY[0], "newerkey"], "has a key that this site does not know (newerkey)"),
        (["newerkey"], "has a key that this site does not know (newerkey)"),
        ([], f"a key that the portal has retired ({PUBLIC_KEY[0]})"),
    ],
    ids=["one more", "another", "none"],  # the key is another in each process
)
def test_keys_that_differ(portal: Portal, kids: list[str], message: str) -> None:
    healthy = portal.status
    portal.status = lambda: healthy() | {"kids": kids}  # type: ignore[method-assign]

    finding = only(doctor.portal(), "portal.keys")

    assert finding.level is Level.WARNING
    assert message in finding.message
    assert "manage.py sso_site dsn site_a" in finding.fix


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("position", "age", "level", "fix"),
    [
        (None, 0, Level.WARNING, "sso_sync --follow"),
        (7, 5, Level.OK, ""),
        (7, 5000, Level.OK, ""),
        (3, 5, Level.OK, ""),
        (3, 5000, Level.WARNING, "sso_sync --follow"),
        (9, 5, Level.FAILURE, "sso_sync --full"),
    ],
)
def test_how_far_the_feed_was_read(
    portal: Portal, position: int | None, age: int, level: Level, fix: str
) -> None:
    portal.head = 7
    if position is not None:
        synced_at = timezone.now() - timedelta(seconds=age)
        FeedCursor.objects.create(position=position, head=7, synced_at=synced_at)

    finding = only(doctor.portal(), "feed")

    assert finding.level is level
    assert fix in finding.fix


# --- the database, and names -------------------------------------------------------------------


@pytest.mark.django_db
def test_tables_that_are_there() -> None:
    assert [finding.level for finding in doctor.database_migrations()] == [Level.OK]


@pytest.mark.django_db(transaction=True)
def test_a_forgotten_migration_is_a_failure() -> None:
    call_command("migrate", "sso_common", "zero", verbosity=0)
    try:
        [finding] = doctor.database_migrations()
    finally:
        call_command("migrate", "sso_common", verbosity=0)

    assert connection.introspection.table_names()
    assert finding.level is Level.FAILURE
    assert finding.fix == "Run: manage.py migrate"


@pytest.mark.parametrize(
    ("hosts", "allowed", "level"),
    [
        ([], ["a.sso.testserver"], Level.OK),
        ([], ["127.0.0.1", ".sso.testserver"], Level.OK),
        ([], ["127.0.0.1"], Level.FAILURE),
        ([], ["*"], Level.WARNING),
        (["a.sso.testserver:8001"], ["*"], Level.OK),
        (["sso.testserver"], ["*"], Level.OK),
        (["a.testserver"], ["*"], Level.FAILURE),
        (["asso.testserver"], ["*"], Level.FAILURE),
    ],
)
def test_whether_the_cookie_reaches_this_site(hosts: list[str], allowed: list[str], level: Level) -> None:
    with override_settings(ALLOWED_HOSTS=allowed):
        [finding] = doctor.cookie_host(hosts)

    assert finding.level is level
    assert bool(finding.fix) == (level is not Level.OK)


# --- time --------------------------------------------------------------------------------------


def test_a_part_that_hangs_is_left_behind() -> None:
    never = threading.Event()

    def hang() -> Iterator[Finding]:
        yield doctor.ok("part", "first")
        never.wait(WAIT)

    for attempt in tries_within(5):
        with attempt:
            findings = Bounded(0.2)("part", hang)
    never.set()

    assert [finding.level for finding in findings] == [Level.OK, Level.FAILURE]


def test_when_the_time_is_up_the_rest_is_not_examined() -> None:
    [finding] = Bounded(0)("part", lambda: [doctor.ok("part", "never asked")])

    assert finding.level is Level.WARNING
    assert "the time was up" in finding.message


def test_a_part_that_breaks_is_a_finding_and_shows_no_details() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("redis://user:password@host")

    [finding] = Bounded(5)("part", broken)

    assert finding.level is Level.FAILURE
    assert "RuntimeError" in finding.message
    assert "password" not in finding.message


# --- the command, in a process of its own ------------------------------------------------------


class Site:
    """Notes, with a database of its own: ``run`` runs a management command of it."""

    def __init__(self, folder: Path, dsn: conf.Dsn, internal_url: str) -> None:
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("SSO_", "DJANGO_"))
        }
        self.environment = clean | {
            "DJANGO_SETTINGS_MODULE": "site_a.settings",
            "PYTHONPATH": str(ROOT),
            "SSO_DSN": str(dsn),
            "SSO_PORTAL_INTERNAL_URL": internal_url,
            "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
            "SITE_HOSTS": "a.sso.localhost",
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path, valkey: ValkeyServer, portal: Portal) -> Iterator[Site]:
    dsn = site_dsn(portal_url="http://portal.sso.localhost:8000", domain="sso.localhost")
    with as_site(valkey, dsn=dsn):
        site = Site(tmp_path, dsn, portal.url)
        assert site.run("migrate", "--verbosity=0").returncode == 0
        yield site


def levels(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in json.loads(done.stdout)["findings"]}


def test_the_exit_status_says_the_worst(site: Site, portal: Portal) -> None:
    never_synced = site.run("sso_doctor")
    site.run("sso_sync")
    well = site.run("sso_doctor")
    portal.close()
    broken = site.run("sso_doctor")

    assert (never_synced.returncode, well.returncode, broken.returncode) == (1, 0, 2)
    assert "warning  feed" in never_synced.stdout
    assert "-> Keep this running, as a service: manage.py sso_sync --follow" in never_synced.stdout
    assert "failure" not in well.stdout.replace("0 failures", "")
    assert "failure  portal.reachable" in broken.stdout
    assert well.stderr == ""


def test_json_is_for_scripts(site: Site) -> None:
    site.run("sso_sync")

    done = site.run("sso_doctor", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["level"], report["site"]) == (0, "ok", "site_a")
    assert {finding["level"] for finding in report["findings"]} == {"ok"}
    assert set(levels(done)) == {
        *(f"settings.{name}" for name in doctor.checks.CHECKS),
        *("settings.django", "database.migrations", "cookie.host"),
        *("redis.reachable", "redis.version", "redis.role", "redis.persistence", "redis.eviction"),
        *("redis.user", "redis.rights"),
        *("portal.reachable", "portal.secret", "portal.clock", "portal.keys", "feed"),
    }


def test_nothing_that_it_prints_is_secret(site: Site, portal: Portal) -> None:
    portal.tamper = lambda *answer: (401, {}, b'{"error": "bad-signature", "time": 0}')
    dsn = conf.parse_dsn(site.environment["SSO_DSN"])

    text = "".join(site.run("sso_doctor", *options).stdout for options in ((), ("--json",)))

    secret = site.environment["SSO_DSN"].split(":")[2].split("@")[0]
    assert "portal.secret" in text
    for word in (secret, dsn.site_keys[0].redis_password, dsn.site_keys[0].django_secret_key):
        assert word not in text


def test_without_a_dsn_it_says_what_to_set_and_goes_on(site: Site) -> None:
    done = site.run("sso_doctor", "--json", SSO_DSN="")

    assert done.returncode == 2
    assert levels(done)["settings.dsn"] == "failure"
    assert levels(done)["settings.middleware"] == "ok"
    assert levels(done)["database.migrations"] == "ok"
    assert levels(done)["redis"] == levels(done)["portal"] == "warning"
    assert "settings.domain" not in levels(done)


def test_another_host_than_the_cookies_is_a_failure(site: Site) -> None:
    done = site.run("sso_doctor", "--json", "--host=a.example.com")

    assert done.returncode == 2
    assert levels(done)["cookie.host"] == "failure"


def test_with_everything_hanging_it_ends_in_time(site: Site, valkey: ValkeyServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        valkey.pause()
        for attempt in tries_within(15):
            with attempt:
                done = site.run(
                    "sso_doctor",
                    "--json",
                    SSO_PORTAL_INTERNAL_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
                )
        valkey.resume()

    assert done.returncode == 2
    assert levels(done)["redis.reachable"] == "failure"
    assert levels(done)["redis.rights"] == "warning"
    assert levels(done)["portal.reachable"] == "failure"


def test_colours_are_for_terminals(site: Site) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "sso_doctor", "--timeout=10"],
        env=site.environment | {"TERM": "xterm"},
        stdout=end,
        stderr=subprocess.DEVNULL,
    )
    os.close(end)
    text = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while chunk := os.read(terminal, 65536):
            text += chunk
    os.close(terminal)
    process.wait(WAIT)

    assert b"\x1b[" in text
    assert "\x1b[" not in site.run("sso_doctor").stdout
