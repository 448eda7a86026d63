"""``sso_sync`` applies every change once, in order."""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.test import override_settings

from sso_common import conf, feed, follow, store, sync, testing
from sso_common.exceptions import FeedRewound, MalformedFeed, PortalUnavailable
from sso_common.follow import MAX_PAUSE, Attempts, event_id, order
from sso_common.management.commands.sso_sync import ProgressLog
from sso_common.models import Account, FeedCursor
from sso_common.users import Drift, UpsertResult, UserMapper, upsert_users
from tests.databases import Worker
from tests.servers import ValkeyServer
from tests.sso_common.portal import Portal
from tests.timing import WAIT

ROOT = Path(__file__).parents[2]


@pytest.fixture
def portal() -> Iterator[Portal]:
    double = Portal()
    with override_settings(SSO_PORTAL_INTERNAL_URL=double.url, SSO_FEED_PAGE=2):
        yield double
    double.close()


def people() -> dict[str, bool]:
    """{username: is_active} of all local users."""
    return dict(User.objects.values_list("username", "is_active"))


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("sso_sync", *arguments, stdout=out)
    return out.getvalue()


# --- one run -------------------------------------------------------------------------------------

pytestmark = pytest.mark.django_db


def test_new_site_gets_all_users(portal: Portal) -> None:
    for number in range(5):
        portal.put(f"u{number}")

    result = sync.sync_once()

    assert people() == {f"u{number}": True for number in range(5)}
    assert result == UpsertResult(created=5)
    cursor = FeedCursor.load()
    assert (cursor.position, cursor.head, cursor.lag) == (5, 5, 0)
    assert cursor.synced_at is not None


def test_site_catches_up_from_its_cursor_after_a_long_outage(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    sync.sync_once()
    portal.requests.clear()
    for number in range(50):
        portal.put("ada", first_name=f"Ada {number}")
    portal.delete("bob")
    portal.put("cleo")

    sync.sync_once()

    assert User.objects.get(username="ada").first_name == "Ada 49"
    assert people() == {"ada": True, f"deleted-{testing.subject('bob').hex[:8]}": False, "cleo": True}
    assert portal.requests[0] == "/sso/v1/users?after=2&limit=2"
    assert len(portal.requests) == 2


def test_second_run_changes_nothing(portal: Portal) -> None:
    portal.put("ada")
    sync.sync_once()

    assert sync.sync_once() == UpsertResult()


def test_progress_is_reported_after_each_page(portal: Portal) -> None:
    for number in range(5):
        portal.put(f"u{number}")
    seen: list[tuple[int, int, int]] = []

    sync.sync_once(lambda *step: seen.append(step))

    assert seen == [(2, 2, 5), (4, 4, 5), (5, 5, 5)]


def test_pages_applied_before_a_failure_stay_applied(portal: Portal) -> None:
    for number in range(5):
        portal.put(f"u{number}")
    portal.tamper = lambda *answer: answer if len(portal.requests) < 2 else (503, {}, b"")

    with pytest.raises(PortalUnavailable):
        sync.sync_once()

    assert set(people()) == {"u0", "u1"}
    assert FeedCursor.load().position == 2


def test_page_and_cursor_are_written_together(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    portal.put("ada")

    def fail(*_: object) -> None:
        raise RuntimeError("killed between users and cursor")

    monkeypatch.setattr(sync, "save_cursor", fail)
    with pytest.raises(RuntimeError):
        sync.sync_once()

    assert people() == {}
    assert FeedCursor.load().position == 0


def test_portal_restored_from_a_backup_is_detected(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    sync.sync_once()
    portal.head = 1
    portal.people = {sub: each for sub, each in portal.people.items() if each.version <= 1}

    with pytest.raises(FeedRewound, match="sso_sync --full"):
        sync.sync_once()

    assert people() == {"ada": True, "bob": True}
    assert FeedCursor.load().position == 2


def test_rejected_user_is_reported_and_the_others_are_synced(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    with (
        override_settings(SSO_USER_MAPPER=f"{__name__}.NoBobs"),
        pytest.raises(CommandError, match="1 users"),
    ):
        run()

    assert people() == {"ada": True}
    assert FeedCursor.load().position == 2


class NoBobs(UserMapper):
    """A mapper that rejects one user."""

    def fields(self, snapshot: Any) -> dict[str, Any]:
        if snapshot.username == "bob":
            raise ValueError("no bobs")
        return super().fields(snapshot)


# --- the whole feed ------------------------------------------------------------------------------


def test_full_undoes_local_changes_and_deactivates_unknown_users(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    sync.sync_once()
    User.objects.filter(username="ada").update(first_name="Changed", is_active=False)
    del portal.people[testing.subject("bob")]
    User.objects.create_user("own")

    result = sync.sync_full()

    assert people() == {"ada": True, "bob": False, "own": True}
    assert User.objects.get(username="ada").first_name == ""
    assert (result.deactivated, result.rewound) == (1, False)
    assert sync.verify().drift == ()


def test_full_keeps_users_who_were_provisioned_while_it_ran(portal: Portal) -> None:
    portal.put("ada")
    sync.sync_once()

    new = portal.put("bob")
    del portal.people[new.sub]
    portal.head = 1
    upsert_users([new], source="identity")

    result = sync.sync_full()

    assert people() == {"ada": True, "bob": True}
    assert result.deactivated == 0


def test_full_follows_a_portal_that_was_restored_from_a_backup(portal: Portal) -> None:
    portal.put("ada")
    portal.put("ada", first_name="Lost")
    portal.put("bob")
    sync.sync_once()
    portal.people.clear()
    portal.head = 0
    portal.put("ada", first_name="Present")

    result = sync.sync_full()

    assert (result.rewound, result.deactivated) == (True, 1)
    assert (User.objects.get(username="ada").first_name, people()["bob"]) == ("Present", False)
    assert FeedCursor.load().position == 1
    assert sync.verify().drift == ()
    portal.put("ada", first_name="Next")
    sync.sync_once()
    assert User.objects.get(username="ada").first_name == "Next"


def test_empty_feed_deactivates_no_user(portal: Portal) -> None:
    portal.put("ada")
    sync.sync_once()
    portal.people.clear()

    with pytest.raises(MalformedFeed, match="no user was deactivated"):
        sync.sync_full()

    assert people() == {"ada": True}


# --- comparing -----------------------------------------------------------------------------------


def test_verify_finds_no_drift_after_a_sync(portal: Portal) -> None:
    for number in range(5):
        portal.put(f"u{number}")
    portal.delete("u3")
    sync.sync_once()

    report = sync.verify()

    assert (report.checked, report.pending, report.drift) == (5, 0, ())


def test_verify_finds_drift_and_writes_nothing(portal: Portal) -> None:
    for name in ("ada", "bob", "cleo"):
        portal.put(name)
    sync.sync_once()
    User.objects.filter(username="ada").update(first_name="X")
    User.objects.filter(username="bob").delete()
    del portal.people[testing.subject("cleo")]

    report = sync.verify()

    assert {(each.sub, each.kind) for each in report.drift} == {
        (testing.subject("ada"), "differs"),
        (testing.subject("bob"), "missing"),
        (testing.subject("cleo"), "extra"),
    }
    assert User.objects.get(username="ada").first_name == "X"


def test_unread_changes_are_not_drift(portal: Portal) -> None:
    portal.put("ada")
    sync.sync_once()
    portal.put("ada", first_name="New")
    portal.put("bob")

    report = sync.verify()

    assert (report.pending, report.drift) == (2, ())


def test_user_who_changes_during_the_comparison_is_not_drift(portal: Portal) -> None:
    portal.put("ada")
    portal.put("bob")
    portal.put("cleo")
    sync.sync_once()
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: upsert_users([portal.put("ada", first_name="New")], source="identity"),
    ]

    # A request writes a newer version after the page with the older one was fetched.
    original = feed.fetch_page
    pages = iter(changes)

    def fetch(after: int, limit: int | None = None) -> Any:
        page = original(after, limit)
        next(pages, lambda: None)()
        return page

    feed.fetch_page = fetch  # type: ignore[assignment]
    try:
        report = sync.verify()
    finally:
        feed.fetch_page = original

    assert report.drift == ()


def test_version_that_the_portal_has_lost_is_drift(portal: Portal) -> None:
    portal.put("ada")
    upsert_users([portal.put("ada", first_name="X")])
    portal.people.clear()
    portal.head = 0
    portal.put("ada")

    assert sync.verify().drift == (Drift(testing.subject("ada"), "ahead"),)


# --- the command ---------------------------------------------------------------------------------


def test_command_prints_what_it_did(portal: Portal) -> None:
    portal.put("ada")
    User.objects.create_user("bob")
    portal.put("bob")

    said = run()

    assert "Created 2" in said
    assert "theirs was taken" in said
    assert run().strip() == "Up to date."


def test_command_prints_json(portal: Portal) -> None:
    portal.put("ada")

    assert json.loads(run("--json")) == {
        "created": 1,
        "updated": 0,
        "deleted": 0,
        "deactivated": 0,
        "unchanged": 0,
        "conflicts": [],
        "failed": [],
        "position": 1,
    }
    assert json.loads(run("--full", "--json"))["rewound"] is False
    assert json.loads(run("--verify", "--json")) == {"ok": True, "checked": 1, "pending": 0, "drift": []}


def test_command_fails_if_both_sides_differ(portal: Portal) -> None:
    portal.put("ada")
    run()
    User.objects.update(last_name="X")
    out = io.StringIO()

    with pytest.raises(CommandError) as caught:
        call_command("sso_sync", "--verify", stdout=out)

    assert caught.value.returncode == 1
    assert str(testing.subject("ada")) in out.getvalue()
    assert "last_name" in out.getvalue()
    run("--full")
    assert "none differ" in run("--verify")


def test_command_reports_that_the_portal_is_down() -> None:
    with (
        override_settings(SSO_PORTAL_INTERNAL_URL="http://127.0.0.1:1"),
        pytest.raises(CommandError, match="The portal cannot answer") as caught,
    ):
        run()

    assert caught.value.returncode == 2


def test_progress_is_printed_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    show = ProgressLog(said.append, pause=10)
    for step in range(5):
        now = 100.0 + 6 * step
        show(step, step, 10)

    assert said == ["2 users so far (version 2 of 10)", "4 users so far (version 4 of 10)"]


def test_terminal_shows_progress_and_json_does_not(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock = itertools.count(100.0, 1.5)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for number in range(4):
        portal.put(f"u{number}")
    terminal, machine = Terminal(), Terminal()

    call_command("sso_sync", stdout=terminal)
    call_command("sso_sync", "--full", "--json", stdout=machine)

    assert "2 users so far (version 2 of 4)\n4 users so far" in terminal.getvalue()
    assert machine.getvalue().count("\n") == 1


class Collected:
    """An object whose end comes at the same moment as a signal, which discards the exception."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):  # lets Python run its handler here
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [None, DatabaseError("a function that SQLite calls failed")])
def test_sigterm_whose_exception_is_lost_stops_following(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    calls: list[int] = []

    def sync_once() -> UpsertResult:
        calls.append(1)
        assert len(calls) == 1
        Collected()
        if error:
            raise error
        return UpsertResult()

    monkeypatch.setattr(follow, "sync_once", sync_once)
    out = io.StringIO()
    call_command("sso_sync", "--follow", stdout=out)

    assert out.getvalue().endswith("Stopped.\n")


def test_command_restores_signal_handlers(portal: Portal) -> None:
    before = signal.getsignal(signal.SIGTERM)

    run()

    assert signal.getsignal(signal.SIGTERM) == before


# --- concurrency -----------------------------------------------------------------------------


def test_concurrent_syncs_apply_everything_once(portal: Portal, real: str) -> None:
    for number in range(40):
        portal.put(f"u{number}")

    results = [worker.result() for worker in [Worker(sync.sync_once) for _ in range(3)]]

    assert sum(result.created for result in results) == 40
    assert sum(result.updated + result.unchanged for result in results) == 0
    assert User.objects.count() == Account.objects.count() == 40
    assert FeedCursor.load().position == 40
    assert sync.verify().drift == ()


# --- following, as a process of its own ----------------------------------------------------------


class Follower:
    """``sso_sync --follow`` with its own database file."""

    def __init__(self, folder: Path, portal: Portal, arguments: tuple[str, ...] = ("--follow",)) -> None:
        self.database = folder / "site.sqlite3"
        self.log = folder / "log"
        self.portal = portal
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.sso_common.command_settings",
            "TEST_DATABASE": str(self.database),
            "TEST_PORTAL_URL": portal.url,
            # The child must trust the key of this process, not one of its own.
            "TEST_DSN": conf.dsn_text(),
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "django", *arguments]

    def run(self, *arguments: str) -> None:
        subprocess.run(self.command(*arguments), env=self.environment, cwd=ROOT, check=True, timeout=60)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("sso_sync", *self.arguments),
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT)

    def names(self) -> dict[str, str]:
        """{username: first name}"""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)
        try:
            return dict(connection.execute("SELECT username, first_name FROM auth_user"))
        finally:
            connection.close()

    def position(self) -> int:
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)
        try:
            row = connection.execute("SELECT position FROM sso_common_feedcursor").fetchone()
            return row[0] if row else 0
        finally:
            connection.close()

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def eventually(condition: Callable[[], object], follower: Follower, seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"The condition was never met. The follower printed:\n{follower.text()}")
        time.sleep(0.02)


_template: dict[str, bytes] = {}


@pytest.fixture
def follower(tmp_path: Path, portal: Portal, valkey: ValkeyServer) -> Iterator[Follower]:
    follower = Follower(tmp_path, portal)
    if not _template:  # migrated once, copied for each test
        follower.run("migrate", "--verbosity=0")
        _template["database"] = follower.database.read_bytes()
    follower.database.write_bytes(_template["database"])
    yield follower
    if follower.process is not None and follower.process.poll() is None:
        follower.process.kill()
        follower.process.wait(WAIT)


def send_event() -> None:
    """Send the event that the portal sends."""
    store.client().xadd(store.events_key(conf.dsn().namespace), {"type": "user", "version": "1"})


def test_change_arrives_as_soon_as_the_event_does(portal: Portal, follower: Follower) -> None:
    portal.put("ada")
    follower.environment["TEST_POLL"] = "600"
    follower.start()
    eventually(lambda: "ada" in follower.names(), follower)

    portal.put("ada", first_name="Ada")
    send_event()
    eventually(lambda: follower.names()["ada"] == "Ada", follower)

    assert follower.stop() == 0
    assert follower.text().startswith("Following the portal's feed from version 0.")
    assert "Stopped." in follower.text()


def test_change_arrives_without_an_event(portal: Portal, follower: Follower) -> None:
    follower.start()
    eventually(lambda: "Following" in follower.text(), follower)

    portal.put("ada")

    eventually(lambda: "ada" in follower.names(), follower)


def test_changes_arrive_without_redis_and_the_outage_is_logged_once(
    portal: Portal, follower: Follower, valkey: ValkeyServer
) -> None:
    follower.start()
    eventually(lambda: "Following" in follower.text(), follower)
    valkey.kill()

    for number in range(3):
        portal.put(f"u{number}")
        eventually(lambda number=number: f"u{number}" in follower.names(), follower)
    valkey.ensure_running()
    eventually(lambda: "Redis can be read again" in follower.text(), follower)

    assert follower.text().count("Redis cannot be read") == 1
    assert follower.stop(signal.SIGINT) == 0


def test_portal_outage_is_logged_once_and_retried(portal: Portal, follower: Follower) -> None:
    portal.tamper = lambda *_: (503, {}, b"")
    follower.start()
    eventually(lambda: len(portal.requests) >= 3, follower)

    portal.put("ada")
    portal.tamper = lambda *answer: answer
    eventually(lambda: "ada" in follower.names(), follower)

    eventually(lambda: "The feed can be read again" in follower.text(), follower)
    assert follower.text().count("The feed cannot be read") == 1
    assert follower.text().count("The feed can be read again") == 1


def test_killed_process_continues_where_it_was(portal: Portal, follower: Follower) -> None:
    for number in range(12):
        portal.put(f"u{number}")
    held = threading.Event()

    def hold(path: str) -> None:
        if "after=6&" in path:
            held.wait(WAIT)

    portal.before = hold
    follower.start()
    eventually(lambda: follower.position() == 6, follower)
    assert follower.stop(signal.SIGKILL) == -signal.SIGKILL
    held.set()
    portal.requests.clear()

    follower.start()
    eventually(lambda: follower.position() == 12, follower)

    assert portal.requests[0] == "/sso/v1/users?after=6&limit=2"
    assert set(follower.names()) == {f"u{number}" for number in range(12)}


def test_interrupted_run_exits_130_and_keeps_what_was_applied(portal: Portal, follower: Follower) -> None:
    for number in range(6):
        portal.put(f"u{number}")
    held = threading.Event()

    def hold(path: str) -> None:
        if "after=2&" in path:
            held.wait(WAIT)

    portal.before = hold
    follower.arguments = ()
    follower.start()
    eventually(lambda: follower.position() == 2, follower)

    assert follower.stop() == 130
    held.set()
    assert "What was applied stays" in follower.text()
    assert follower.position() == 2


def test_full_repairs_a_rewound_feed_while_the_follower_runs(portal: Portal, follower: Follower) -> None:
    portal.put("ada")
    portal.put("bob")
    follower.start()
    eventually(lambda: follower.position() == 2, follower)
    portal.people.clear()
    portal.head = 0
    portal.put("ada", first_name="Restored")
    eventually(lambda: "sso_sync --full" in follower.text(), follower)

    follower.run("sso_sync", "--full")
    portal.put("cleo")
    eventually(lambda: "cleo" in follower.names(), follower)

    assert follower.names()["ada"] == "Restored"
    assert follower.text().count("cannot be read") == 1


# --- parts of it ---------------------------------------------------------------------------------


def test_pauses_grow_and_vary() -> None:
    attempts = Attempts("The feed")
    pauses = []
    for _ in range(20):
        attempts.failures += 1
        pauses.append(attempts.pause())

    assert 0.5 <= pauses[0] <= 1
    assert all(15 <= pause <= MAX_PAUSE for pause in pauses[6:])
    assert len(set(pauses[6:])) > 1


def test_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts("The feed")
    with caplog.at_level(logging.WARNING, "sso_common"):
        for _ in range(5):
            attempts.failed("gone")
        attempts.succeeded()
        attempts.succeeded()

    assert [record.getMessage() for record in caplog.records] == [
        "The feed cannot be read: gone. Retrying.",
        "The feed can be read again after 5 attempts.",
    ]


def test_events_are_ordered_by_time_and_number() -> None:
    assert order("9-0") < order("10-0") < order("10-2") < order("10-11")
    assert re.fullmatch(r"\d{13}-0", event_id(time.time()))
