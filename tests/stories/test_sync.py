"""Every change of a user reaches every site once, also when a process is killed or was down."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.stories.people import SITES, Person
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology
from tests.timing import tries_within

MANY = 2000
CURSOR = "FeedCursor.load().position"
HEAD = "from portal.accounts import versions; versions.head()"
MAKE_MANY = """
    made = User.objects.bulk_create(
        User(username=f"{word}{n}", email=f"{word}{n}@example.com", first_name=word, password="!")
        for n in range(many)
    )
    len(made)
    """


@pytest.fixture
def away(topology: StoryTopology) -> Iterator[Callable[[str], None]]:
    """A function that stops a site and its sync process. Both are back after the story."""

    def away(site: str) -> None:
        for name in (site.replace("site", "sync"), site):
            topology.parts[name].stop()

    yield away
    topology.restore()


def verify(topology: StoryTopology, site: str) -> tuple[int, dict[str, Any]]:
    """Run ``sso_sync --verify``; return its status and its report."""
    done = topology.command(site, "sso_sync", "--verify", "--json")
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def crowd(topology: StoryTopology, shell: Callable[[str], Shell]) -> str:
    """A few thousand users, created while site A's sync is down."""
    topology.parts["sync_a"].kill()
    shell("portal")(MAKE_MANY, word="crowd-", many=MANY)
    return "crowd-"


@pytest.fixture
def position(topology: StoryTopology) -> Iterator[Callable[[], int]]:
    """Site A's position in the feed, read fast enough to kill the sync between two pages."""
    file = topology.environment("site_a")["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        yield lambda: database.execute("SELECT position FROM sso_common_feedcursor").fetchone()[0]


@pytest.fixture
def writes(shell: Callable[[str], Shell]) -> Iterator[Callable[[], dict[str, int]]]:
    """How often site A's database has written each account: subject -> count."""
    run = "from django.db import connection; cursor = connection.cursor()\n"
    action = "BEGIN INSERT INTO story_writes VALUES (new.sub); END"
    triggers = [
        f"CREATE TRIGGER story_{event} AFTER {event} ON sso_common_account {action}"
        for event in ("INSERT", "UPDATE")
    ]
    made = ["CREATE TABLE story_writes (sub TEXT)", *triggers]
    undone = ["DROP TRIGGER story_INSERT", "DROP TRIGGER story_UPDATE", "DROP TABLE story_writes"]
    for statement in made:
        shell("site_a")(run + "cursor.execute(statement)", statement=statement)

    def count() -> dict[str, int]:
        query = "SELECT sub, COUNT(*) FROM story_writes GROUP BY sub"
        found: dict[str, int] = shell("site_a")(run + "dict(cursor.execute(query).fetchall())", query=query)
        return found

    yield count
    for statement in undone:
        shell("site_a")(run + "cursor.execute(statement)", statement=statement)


def test_a_sync_killed_between_pages_loses_nothing_and_repeats_nothing(
    topology: StoryTopology,
    shell: Callable[[str], Shell],
    crowd: str,
    writes: Callable[[], dict[str, int]],
    position: Callable[[], int],
) -> None:
    sync, site_a = topology.parts["sync_a"], shell("site_a")
    start, head = position(), shell("portal")(HEAD)

    stops = []
    for _ in range(2):
        before = position()
        sync.start()
        topology.eventually(lambda before=before: position() > before, every=0.001)
        sync.kill()
        stops.append(position())
    sync.start()
    topology.eventually(lambda: position() == head)

    assert start < stops[0] < stops[1] < head, "It was killed twice between pages."
    assert site_a("User.objects.filter(username__startswith=word).count()", word=crowd) == MANY
    counts = writes()
    assert (len(counts), set(counts.values())) == (MANY, {1}), "Each account was written once."
    expected = {"ok": True, "checked": _checked(topology), "pending": 0, "drift": []}
    assert verify(topology, "site_a") == (0, expected)


def _checked(topology: StoryTopology) -> int:
    """Return how many users the feed holds, according to site B."""
    topology.eventually(lambda: verify(topology, "site_b")[1]["pending"] == 0)
    status, report = verify(topology, "site_b")
    assert (status, report["drift"]) == (0, [])
    return int(report["checked"])


def test_a_site_that_was_down_catches_up_and_applies_each_change_once(
    topology: StoryTopology,
    shell: Callable[[str], Shell],
    new_person: Callable[..., Person],
    away: Callable[[str], None],
) -> None:
    mia, ben, eve = (new_person(name) for name in ("Mia", "Ben", "Eve"))
    topology.eventually(lambda: shell("site_b")(CURSOR) == shell("portal")(HEAD))
    away("site_b")
    shell("portal")(
        """
        for name in ("Miranda", "Mirabel", "Milena"):
            user = User.objects.get(pk=mia)
            user.first_name = name
            user.save()
        user = User.objects.get(pk=ben); user.is_active = False; user.save()
        User.objects.get(pk=eve).delete()
        """,
        mia=mia.sub,
        ben=ben.sub,
        eve=eve.sub,
    )
    new = new_person("Noa")

    result = json.loads(topology.manage("site_b", "sso_sync", "--json"))
    again = json.loads(topology.manage("site_b", "sso_sync", "--json"))

    counts = {name: result[name] for name in ("created", "updated", "deleted", "deactivated")}
    assert counts == {"created": 1, "updated": 2, "deleted": 1, "deactivated": 1}
    assert not any(again[name] for name in counts), "The second run changes nothing."
    name = shell("site_b")("User.objects.get(sso_account__sub=sub).name", sub=mia.sub)
    assert name.startswith("Milena")
    assert shell("site_b")("User.objects.get(sso_account__sub=sub).is_active", sub=new.sub)
    assert verify(topology, "site_b")[1]["drift"] == []


def test_a_user_changed_at_the_site_is_reported_and_repaired(
    topology: StoryTopology, shell: Callable[[str], Shell], new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")
    site_a = shell("site_a")
    topology.eventually(lambda: site_a("Account.objects.filter(sub=sub).exists()", sub=mia.sub))
    site_a(
        'User.objects.filter(sso_account__sub=sub).update(first_name="Mallory", is_staff=True)', sub=mia.sub
    )

    broken = verify(topology, "site_a")
    topology.manage("site_a", "sso_sync", "--full")
    repaired = verify(topology, "site_a")

    status, report = broken
    assert status == 1
    assert [(each["sub"], each["kind"]) for each in report["drift"]] == [(mia.sub, "differs")]
    assert set(report["drift"][0]["fields"]) == {"first_name", "is_staff"}
    assert repaired[0] == 0
    assert site_a("User.objects.get(sso_account__sub=sub).first_name", sub=mia.sub) == "Mia"


@pytest.mark.parametrize("site", SITES)
def test_an_event_brings_a_change_before_the_next_poll(
    topology: StoryTopology, shell: Callable[[str], Shell], new_person: Callable[..., Person], site: str
) -> None:
    def wait_for_new_person() -> None:
        mia = new_person("Mia")
        known = "Account.objects.filter(sub=sub).exists()"
        topology.eventually(lambda: shell(site)(known, sub=mia.sub))

    wait_for_new_person()
    # The site has just read the feed: a poll alone would find the next person after 4 to 6 s.
    for attempt in tries_within(3.5):
        with attempt:
            wait_for_new_person()
