"""The doctor with a real Valkey and real Redis users, a real database, and a portal over real HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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

from sso_common import checks, conf, doctor, store
from sso_common.doctor import Finding, Level, configuration, servers
from sso_common.doctor import portal as portal_probes
from sso_common.doctor import redis as redis_probes
from sso_common.doctor.bounded import PROBE_TIMEOUT, Bounded
from sso_common.doctor.findings import ok
from sso_common.dsn import Dsn, parse_dsn
from sso_common.models import FeedCursor
from sso_common.testing import PUBLIC_KEY, make_dsn
from sso_common.users import current_mapping
from tests.servers import VALKEY_PORT, VALKEY_URL, ValkeyServer
from tests.sso_common.portal import Portal
from tests.timing import WAIT, tries_within

ROOT = Path(__file__).resolve().parents[2]

#: The permissions of a site's Redis user. tests/portal/test_doctor.py has those that the portal sets.
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

#: What the doctor of a healthy site prints after the system checks.
LINES = (
    *("settings.django", "database.migrations", "database.passwords", "cookie.host"),
    *("middleware.reached", "middleware.session", "middleware.user", "middleware.response"),
    *("redis.reachable", "redis.version", "redis.role", "redis.persistence", "redis.eviction", "redis.user"),
    *("portal.reachable", "portal.secret", "portal.clock", "portal.keys", "portal.roles", "feed"),
)


def site_dsn(**changes: Any) -> Dsn:
    """The DSN of a site with a Redis user of its own."""
    dsn = parse_dsn(make_dsn("site_a", VALKEY_URL))
    return replace(dsn, redis_url=f"redis://127.0.0.1:{VALKEY_PORT}/0", **changes)


@contextlib.contextmanager
def as_site(valkey: ValkeyServer, rules: tuple[str, ...] = RULES, dsn: Dsn | None = None) -> Iterator[None]:
    """Use the settings of a site whose Redis user has these permissions."""
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


def only(findings: Any, check: str) -> Finding:
    """Return the only finding of a check."""
    [found] = [finding for finding in findings if finding.check == check]
    return found


@pytest.fixture
def portal() -> Iterator[Portal]:
    double = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=double.url):
        yield double
    double.close()


# --- the connection to Redis -------------------------------------------------------------------


def test_a_sites_own_redis_user_is_ok(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        findings = [*redis_probes.reachable(), *redis_probes.user()]

    assert [(finding.check, finding.level) for finding in findings] == [
        ("redis.reachable", Level.OK),
        ("redis.user", Level.OK),
    ]


def test_the_operators_redis_user_is_a_warning(valkey: ValkeyServer) -> None:
    [finding] = redis_probes.user()

    assert (finding.check, finding.level) == ("redis.user", Level.WARNING)
    assert "'default'" in finding.message


@pytest.mark.parametrize(
    ("rule", "probe", "command"),
    [("+info", servers.servers, "INFO"), ("+acl|whoami", redis_probes.user, "ACL WHOAMI")],
)
def test_a_command_that_redis_refuses_is_named(
    valkey: ValkeyServer, rule: str, probe: Callable[[], Iterator[Finding]], command: str
) -> None:
    with as_site(valkey, without(rule)):
        [finding] = probe()

    assert (finding.check, finding.level) == ("redis.rights", Level.WARNING)
    assert f"refuses {command} from" in finding.message
    assert "manage.py sso_site acl --check" in finding.fix


def test_a_user_without_permission_to_ping_is_a_failure(valkey: ValkeyServer) -> None:
    with as_site(valkey, without("+ping")):
        [finding] = redis_probes.reachable()

    assert finding.level is Level.FAILURE
    assert "refuses PING" in finding.message
    assert "manage.py sso_site acl --check" in finding.fix


def test_a_wrong_redis_password_is_a_failure(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.admin.execute_command("ACL SETUSER", site_dsn().redis_user, "resetpass", ">another")
        valkey.admin.execute_command("CLIENT", "KILL", "USER", site_dsn().redis_user)
        store.client().connection_pool.disconnect()
        [finding] = redis_probes.reachable()

    assert finding.level is Level.FAILURE
    assert "refuses this site's user or password" in finding.message
    assert "manage.py sso_site dsn site_a" in finding.fix


def test_a_dead_redis_is_reported_before_the_probe_times_out(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.kill()
        for attempt in tries_within(PROBE_TIMEOUT):
            with attempt:
                [finding] = redis_probes.reachable()
        valkey.start()

    assert finding.level is Level.FAILURE
    assert f"127.0.0.1:{VALKEY_PORT}" in finding.message


def test_a_hanging_redis_is_reported_before_the_probe_times_out(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.pause()
        for attempt in tries_within(PROBE_TIMEOUT):
            store.outage.end()
            with attempt:
                [finding] = redis_probes.reachable()
        valkey.resume()

    assert finding.level is Level.FAILURE
    assert "does not answer" in finding.message


# --- the Redis servers -------------------------------------------------------------------------


def test_the_shipped_redis_is_ok(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        findings = [*redis_probes.reachable(), *servers.servers()]

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
        finding = only(servers.servers(), "redis.eviction")

    assert finding.level is Level.FAILURE
    assert "allkeys-lru" in finding.message
    assert "maxmemory-policy noeviction" in finding.fix


def test_full_memory_is_a_failure(valkey: ValkeyServer) -> None:
    with as_site(valkey), configured(valkey, "maxmemory", "1"):
        finding = only(servers.servers(), "redis.eviction")

    assert finding.level is Level.FAILURE
    assert "maxmemory" in finding.fix


def test_almost_full_memory_is_a_warning(valkey: ValkeyServer) -> None:
    used = int(valkey.admin.info("memory")["used_memory"])
    with as_site(valkey), configured(valkey, "maxmemory", str(int(used * 1.08))):
        finding = only(servers.servers(), "redis.eviction")

    assert finding.level is Level.WARNING
    assert "maxmemory" in finding.fix


def test_no_append_only_file_is_a_warning(valkey: ValkeyServer) -> None:
    with as_site(valkey), configured(valkey, "appendonly", "no"):
        finding = only(servers.servers(), "redis.persistence")

    assert finding.level is Level.WARNING
    assert "appendonly yes" in finding.fix


def test_a_replica_is_a_failure(valkey: ValkeyServer) -> None:
    with as_site(valkey):
        valkey.admin.replicaof("127.0.0.1", str(VALKEY_PORT + 1))
        try:
            finding = only(servers.servers(), "redis.role")
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
def test_a_server_that_is_too_old_is_a_failure(server: dict[str, str], level: Level) -> None:
    assert servers.version(server, "").level is level


def test_a_server_that_has_not_saved_for_hours_is_a_failure() -> None:
    info = {"aof_enabled": 0, "rdb_changes_since_last_save": 9, "rdb_saves": 0, "uptime_in_seconds": 9000}

    finding = servers.persistence(info, "")

    assert finding.level is Level.FAILURE
    assert "appendonly yes" in finding.fix


# --- the portal --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_healthy_portal_is_ok(portal: Portal) -> None:
    mapping = current_mapping().fingerprint
    FeedCursor.objects.create(position=0, head=0, synced_at=timezone.now(), mapping=mapping)

    findings = list(portal_probes.reachable())

    assert [finding.check for finding in findings] == [
        "portal.reachable",
        "portal.secret",
        "portal.clock",
        "portal.keys",
        "portal.roles",
        "feed",
    ]
    assert {finding.level for finding in findings} == {Level.OK}


def test_a_portal_that_is_down_is_a_failure(portal: Portal) -> None:
    portal.close()

    findings = list(portal_probes.reachable())

    assert only(findings, "portal.reachable").level is Level.FAILURE
    assert (
        "Users cannot sign in; users who are signed in stay signed in."
        in only(findings, "portal.reachable").message
    )
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
def test_a_bad_answer_is_one_failure_with_its_fix(
    portal: Portal, status: int, headers: dict[str, str], body: dict[str, Any], check: str, message: str
) -> None:
    portal.tamper = lambda *answer: (status, headers, json.dumps(body).encode())

    findings = list(portal_probes.reachable())

    failures = [finding for finding in findings if finding.level is Level.FAILURE]
    assert [finding.check for finding in failures] == [check]
    assert message in failures[0].message
    assert failures[0].fix


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("skew", "level"), [(0.5, Level.OK), (5, Level.WARNING), (-5, Level.WARNING), (45, Level.FAILURE)]
)
def test_clocks_are_compared(portal: Portal, skew: float, level: Level) -> None:
    healthy = portal.status
    portal.status = lambda: healthy() | {"time": time.time() + skew}  # type: ignore[method-assign]

    finding = only(portal_probes.reachable(), "portal.clock")

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
def test_keys_that_differ_are_a_warning(portal: Portal, kids: list[str], message: str) -> None:
    healthy = portal.status
    portal.status = lambda: healthy() | {"kids": kids}  # type: ignore[method-assign]

    finding = only(portal_probes.reachable(), "portal.keys")

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
def test_the_position_in_the_feed_is_examined(
    portal: Portal, position: int | None, age: int, level: Level, fix: str
) -> None:
    portal.head = 7
    if position is not None:
        synced_at = timezone.now() - timedelta(seconds=age)
        mapping = current_mapping().fingerprint
        FeedCursor.objects.create(position=position, head=7, synced_at=synced_at, mapping=mapping)

    finding = only(portal_probes.reachable(), "feed")

    assert finding.level is level
    assert fix in finding.fix


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("roles", "level", "text"),
    [
        (["editor", "staff", "other"], Level.OK, "every role"),
        (["editor"], Level.WARNING, "does not have: staff."),
    ],
)
def test_a_role_that_the_portal_does_not_know_is_a_warning(
    portal: Portal, roles: list[str], level: Level, text: str
) -> None:
    portal.roles = roles

    finding = only(portal_probes.reachable(), "portal.roles")

    assert finding.level is level
    assert text in finding.message


@pytest.mark.django_db
def test_an_older_portal_that_does_not_name_roles_is_not_examined(portal: Portal) -> None:
    portal.roles = None

    assert "portal.roles" not in {finding.check for finding in portal_probes.reachable()}


@pytest.mark.django_db
def test_a_sync_that_runs_with_older_settings_is_a_warning(portal: Portal) -> None:
    portal.head = 7
    FeedCursor.objects.create(position=7, head=7, synced_at=timezone.now(), mapping="of an older")

    finding = only(portal_probes.reachable(), "feed")

    assert finding.level is Level.WARNING
    assert "Restart `manage.py sso_sync --follow`" in finding.fix


# --- settings and database ---------------------------------------------------------------------


@pytest.mark.django_db
def test_tables_that_are_up_to_date_are_ok() -> None:
    assert [finding.level for finding in configuration.migrations()] == [Level.OK]


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_is_not_applied_is_a_failure() -> None:
    call_command("migrate", "sso_common", "zero", verbosity=0)
    try:
        [finding] = configuration.migrations()
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
def test_hosts_are_compared_with_the_cookies_domain(
    hosts: list[str], allowed: list[str], level: Level
) -> None:
    with override_settings(ALLOWED_HOSTS=allowed):
        [finding] = configuration.cookie_host(hosts)

    assert finding.level is level
    assert bool(finding.fix) == (level is not Level.OK)


# --- time --------------------------------------------------------------------------------------


def test_a_probe_that_hangs_is_abandoned() -> None:
    is_over = threading.Event()

    def hang() -> Iterator[Finding]:
        yield ok("part", "before")
        is_over.wait(WAIT)
        yield ok("part", "after")

    findings = Bounded(1)("part", hang)
    is_over.set()

    assert [finding.level for finding in findings] == [Level.OK, Level.FAILURE]


def test_the_examination_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def hang() -> list[Any]:
        is_over.wait(60)
        return []

    monkeypatch.setattr(checks, "CHECKS", {"hanging": hang})

    first, *others = doctor.examine(seconds=0.5)
    is_over.set()

    assert (first.check, first.level) == ("settings.hanging", Level.FAILURE)
    assert {finding.message for finding in others} == {"Not examined: the time was up."}
    assert {"database.migrations", "redis.reachable", "portal.reachable"} < {each.check for each in others}


def test_a_probe_that_raises_is_a_failure_without_details() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("redis://user:password@host")

    [finding] = Bounded(5)("part", broken)

    assert finding.level is Level.FAILURE
    assert "RuntimeError" in finding.message
    assert "password" not in finding.message


# --- the command, in a process of its own ------------------------------------------------------


class Site:
    """The project ``site_a`` with a database of its own."""

    def __init__(self, folder: Path, dsn: Dsn, internal_url: str) -> None:
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


def test_the_worst_finding_decides_the_exit_status(site: Site, portal: Portal) -> None:
    never_synced = site.run("sso_doctor")
    site.run("sso_sync")
    well = site.run("sso_doctor")
    portal.close()
    broken = site.run("sso_doctor")

    assert (never_synced.returncode, well.returncode, broken.returncode) == (1, 0, 2)
    assert "warning  feed" in never_synced.stdout
    assert "-> Keep this running as a service: manage.py sso_sync --follow" in never_synced.stdout
    assert "failure" not in well.stdout.replace("0 failures", "")
    assert "failure  portal.reachable" in broken.stdout
    assert well.stderr == ""


def test_json_has_a_finding_for_each_check(site: Site) -> None:
    site.run("sso_sync")

    done = site.run("sso_doctor", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["level"], report["site"]) == (0, "ok", "site_a")
    assert {finding["level"] for finding in report["findings"]} == {"ok"}
    assert set(levels(done)) == {*(f"settings.{name}" for name in checks.CHECKS), *LINES}


def test_the_documentation_has_a_row_for_each_line() -> None:
    _, section = (ROOT / "docs" / "checks.md").read_text().split("## `manage.py sso_doctor`")

    assert set(re.findall(r"^\| `([\w.…]+)` \|", section, re.MULTILINE)) == {
        *("settings.…", "redis.rights"),  # redis.rights is printed only if Redis refuses a command
        *LINES,
    }


def test_the_report_contains_no_secret(site: Site, portal: Portal) -> None:
    portal.tamper = lambda *answer: (401, {}, b'{"error": "bad-signature", "time": 0}')
    dsn = parse_dsn(site.environment["SSO_DSN"])

    text = "".join(site.run("sso_doctor", *options).stdout for options in ((), ("--json",)))

    secret = site.environment["SSO_DSN"].split(":")[2].split("@")[0]
    assert "portal.secret" in text
    for word in (secret, dsn.site_keys[0].redis_password, dsn.site_keys[0].django_secret_key):
        assert word not in text


def test_without_a_dsn_the_examination_goes_on(site: Site) -> None:
    done = site.run("sso_doctor", "--json", SSO_DSN="")

    assert done.returncode == 2
    assert levels(done)["settings.dsn"] == "failure"
    assert levels(done)["settings.middleware"] == "ok"
    assert levels(done)["database.migrations"] == "ok"
    assert levels(done)["redis"] == levels(done)["portal"] == "warning"
    assert "settings.domain" not in levels(done)


def test_a_host_outside_the_cookies_domain_is_a_failure(site: Site) -> None:
    done = site.run("sso_doctor", "--json", "--host=a.example.com")

    assert done.returncode == 2
    assert levels(done)["cookie.host"] == "failure"


def test_the_doctor_ends_while_redis_and_the_portal_hang(site: Site, valkey: ValkeyServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        valkey.pause()
        # Site.run fails if this takes longer than a minute. A busy machine needs more than 20 seconds.
        done = site.run("sso_doctor", "--json", "--timeout=45", SSO_PORTAL_INTERNAL_URL=url)
        valkey.resume()

    assert done.returncode == 2
    assert levels(done)["redis.reachable"] == "failure"
    assert levels(done)["redis.server"] == levels(done)["redis.user"] == "warning"
    assert levels(done)["portal.reachable"] == "failure"


def test_colors_are_printed_to_terminals_only(site: Site) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "sso_doctor", "--timeout=10"],
        env=site.environment | {"TERM": "xterm"},
        stdout=end,
        stderr=subprocess.DEVNULL,
    )
    os.close(end)
    text = b""
    with contextlib.suppress(OSError):  # the terminal's end of file
        while chunk := os.read(terminal, 65536):
            text += chunk
    os.close(terminal)
    process.wait(WAIT)

    assert b"\x1b[" in text
    assert "\x1b[" not in site.run("sso_doctor").stdout
