"""The feed: what a site sees, in which order, and which requests are answered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connections, transaction
from django.test import Client, override_settings
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from portal import keys
from portal.accounts import versions
from portal.accounts.models import User
from portal.feed import snapshots
from portal.feed.snapshots import read_page
from portal.registry import services as registry
from portal.registry.dsns import dsn_for
from portal.registry.models import Grant, Site
from sso_common import client, conf, identity, store
from sso_common.dsn import Dsn
from sso_common.exceptions import BadSignature, UnknownKey
from sso_common.feed import parse_page
from sso_common.requests import verify_answer
from sso_common.snapshot import UserSnapshot
from tests.databases import Worker, real_database
from tests.servers import ValkeyServer
from tests.timing import WAIT

NONCE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def site() -> Site:
    return registry.register("site_a", "https://a.sso.localhost", roles={"editor": "Editor"})


@pytest.fixture
def members() -> Site:
    return registry.register(
        "site_b", "https://b.sso.localhost", access="members", roles={"editor": "Editor", "staff": "Staff"}
    )


@contextlib.contextmanager
def at_site(name: str) -> Iterator[None]:
    """Run ``sso_common`` as it runs at the site."""
    with override_settings(SSO_DSN=str(dsn_for(name))):
        yield


def signed_by(name: str, path: str, *, method: str = "GET", nonce: str | None = None) -> str:
    """The ``Authorization`` header of a site."""
    with at_site(name):
        return client.authorization(method, path, nonce or uuid.uuid4().hex)


def ask(path: str, authorization: str, method: str = "GET") -> Any:
    return Client(HTTP_HOST="portal.sso.localhost").generic(method, path, HTTP_AUTHORIZATION=authorization)


def people(*names: str) -> list[User]:
    return [User.objects.create_user(name, f"{name}@example.com", email_verified=True) for name in names]


def told(site: Site, after: int = 0, limit: int = 100) -> list[UserSnapshot]:
    return list(read_page(site, after, limit).users)


# --- what a site sees --------------------------------------------------------------------------


def test_open_site_sees_every_user_once_in_their_latest_state(site: Site) -> None:
    ada, bob = people("ada", "bob")
    User.objects.filter(pk=ada.pk).update(first_name="Augusta")

    page = read_page(site, 0, 100)

    assert [(each.sub, each.first_name) for each in page.users] == [(bob.pk, ""), (ada.pk, "Augusta")]
    assert (page.more, page.cursor, page.head) == (False, versions.head(), versions.head())


def test_site_sees_nothing_twice(site: Site) -> None:
    people("ada")
    cursor = read_page(site, 0, 100).cursor

    page = read_page(site, cursor, 100)

    assert (page.users, page.cursor, page.more) == ((), cursor, False)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_of_any_size_contain_the_whole_feed(site: Site, limit: int) -> None:
    created = people(*(f"u{number}" for number in range(7)))
    created[3].delete()
    cursor, found, more = 0, [], True

    while more:
        page = read_page(site, cursor, limit)
        assert len(page.users) <= limit
        found += page.users
        cursor, more = page.cursor, page.more

    assert {each.username for each in found} == {"u0", "u1", "u2", "u4", "u5", "u6", ""}
    assert [each.version for each in found] == sorted(each.version for each in found)
    assert cursor == versions.head()


def test_tombstone_contains_no_personal_data(site: Site) -> None:
    [ada] = people("ada")
    sub = ada.pk
    ada.delete()

    [grave] = told(site)

    assert grave == UserSnapshot(sub=sub, version=grave.version, is_active=False, deleted=True)


def test_inactive_user_is_inactive_in_the_feed(site: Site) -> None:
    people("ada")
    User.objects.update(is_active=False)

    [ada] = told(site)

    assert (ada.is_active, ada.deleted, ada.not_before > 0) == (False, False, True)


def test_site_sees_only_its_own_roles(site: Site, members: Site) -> None:
    [ada] = people("ada")
    registry.give_role(ada, "site_a", "editor")
    registry.give_role(ada, "site_b", "staff")

    assert [each.roles for each in told(site)] == [frozenset({"editor"})]
    assert [each.roles for each in told(members)] == [frozenset({"staff"})]


def test_members_site_learns_nothing_about_non_members(members: Site) -> None:
    ada, bob, carl = people("ada", "bob", "carl")
    registry.give_role(ada, "site_b", "editor")
    bob.delete()
    User.objects.filter(pk=carl.pk).update(first_name="Carl")

    page = read_page(members, 0, 100)

    assert [each.username for each in page.users] == ["ada"]
    assert page.cursor == versions.head()


def test_members_site_sees_members_leave_and_come_back(members: Site) -> None:
    [ada] = people("ada")
    registry.give_role(ada, "site_b", "editor")
    cursor = read_page(members, 0, 100).cursor

    Grant.objects.get(user=ada).delete()
    [gone] = told(members, cursor)
    registry.give_role(ada, "site_b", "staff")
    [back] = told(members, gone.version)

    assert (gone.deleted, gone.username) == (True, "")
    assert (back.deleted, back.username, back.roles) == (False, "ada", {"staff"})


def test_members_site_sees_a_member_deleted(members: Site) -> None:
    [ada] = people("ada")
    registry.give_role(ada, "site_b", "editor")
    cursor = read_page(members, 0, 100).cursor

    ada.delete()

    assert [each.deleted for each in told(members, cursor)] == [True]


def test_site_that_becomes_members_only_sees_non_members_go(site: Site) -> None:
    ada, _bob = people("ada", "bob")
    registry.give_role(ada, "site_a", "editor")
    cursor = read_page(site, 0, 100).cursor

    site.access = "members"
    site.save()

    assert {each.username: each.deleted for each in told(site, cursor)} == {"ada": False, "": True}


@pytest.mark.parametrize("count", [3, 30])
def test_page_takes_four_queries_whatever_its_size(
    site: Site, django_assert_num_queries: Any, count: int
) -> None:
    people(*(f"u{number}" for number in range(count)))

    with django_assert_num_queries(4):  # head, users, their roles, tombstones
        assert len(told(site)) == count


# --- versions become visible in order ----------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database to which a test can open several connections."""
    if request.param == "postgres":
        address = request.getfixturevalue("postgres_url")
    else:
        address = f"sqlite:///{tmp_path / 'portal.sqlite3'}"
    with real_database(address) as alias:
        yield alias


@pytest.mark.postgres
def test_version_is_never_visible_before_an_earlier_one(postgres_url: str) -> None:
    """A transaction that gets its version first and commits last must not be skipped."""
    with real_database(postgres_url) as alias:
        site = Site.objects.create(name="site_a", origin="https://a.sso.localhost", title="A")
        slow, quick = people("slow", "quick")
        cursor = versions.head()
        has_drawn, may_commit = threading.Event(), threading.Event()

        def write_slowly() -> None:
            with transaction.atomic(using=alias):
                User.objects.filter(pk=slow.pk).update(first_name="Slow")
                has_drawn.set()
                assert may_commit.wait(WAIT)

        def write_quickly() -> None:
            User.objects.filter(pk=quick.pk).update(first_name="Quick")

        first = Worker(write_slowly)
        assert has_drawn.wait(WAIT)
        second = Worker(write_quickly)
        wait_for_a_lock(alias)
        meanwhile = read_page(site, cursor, 100)
        may_commit.set()
        first.result()
        second.result()

        assert (meanwhile.users, meanwhile.cursor) == ((), cursor)
        assert [each.username for each in told(site, meanwhile.cursor)] == ["slow", "quick"]


def wait_for_a_lock(alias: str) -> None:
    """Return when a connection waits for a lock."""
    deadline = time.monotonic() + WAIT
    with connections[alias].cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    pytest.fail("No connection waits: versions are allocated without a lock.")


def test_change_committed_while_a_page_is_read_is_in_the_next_page(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, carl = people("bob", "carl")
    cursor = versions.head()
    read_users = snapshots.snapshots_for

    def read_then_change(*arguments: Any) -> list[UserSnapshot]:
        found = read_users(*arguments)
        if not User.objects.filter(username="late").exists():
            people("late")
            bob.delete()
            carl.delete()
        return found

    monkeypatch.setattr(snapshots, "snapshots_for", read_then_change)
    first = read_page(site, cursor, 1)
    found = [*first.users, *told(site, first.cursor)]

    assert [(each.username, each.deleted) for each in found] == [("late", False), ("", True), ("", True)]


def test_reader_misses_no_user_during_concurrent_writes(real: str) -> None:
    site = Site.objects.create(name="site_a", origin="https://a.sso.localhost", title="A")
    users = people(*(f"u{number}" for number in range(12)))
    done = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(15):
            user = chance.choice(users)
            with transaction.atomic(using=real):
                User.objects.filter(pk=user.pk).update(first_name=f"{seed}-{number}")
                if chance.random() < 0.3:
                    versions.assign_new_versions([chance.choice(users).pk])
                if chance.random() < 0.2:
                    transaction.set_rollback(True, using=real)

    def follow() -> dict[uuid.UUID, UserSnapshot]:
        known: dict[uuid.UUID, UserSnapshot] = {}
        cursor = 0
        while True:
            is_last = done.is_set()
            page = read_page(site, cursor, 3)
            for snapshot in page.users:
                assert snapshot.version > cursor
                known[snapshot.sub] = snapshot
            cursor = page.cursor
            if is_last and not page.more:
                return known

    reader = Worker(follow)
    writers = [Worker(lambda seed=seed: write(seed)) for seed in range(4)]
    for writer in writers:
        writer.result()
    done.set()

    known = reader.result()

    assert {sub: (each.first_name, each.version) for sub, each in known.items()} == {
        sub: (first_name, version)
        for sub, first_name, version in User.objects.values_list("pk", "first_name", "version")
    }


# --- requests ----------------------------------------------------------------------------------

USERS = "/sso/v1/users?after=0&limit=10"


def test_signed_request_gets_a_signed_answer(site: Site) -> None:
    people("ada")

    response = ask(USERS, signed_by("site_a", USERS, nonce=NONCE))

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    with at_site("site_a"):
        verify_answer(response.headers["SSO-Signature"], NONCE, response.content, conf.dsn().public_keys)
        page = parse_page(response.json(), 0)
    assert [user.username for user in page.users] == ["ada"]


def test_status_contains_time_keys_and_head(site: Site) -> None:
    people("ada")

    began = time.time()
    answer = ask("/sso/v1/status", signed_by("site_a", "/sso/v1/status")).json()

    assert began <= answer["time"] <= time.time()
    assert answer["kids"] == [kid for kid, _ in keys.keyring().public_keys]
    assert (answer["head"], answer["portal"]) == (versions.head(), "ok")


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "after=1.5", "limit=x", "after=²", f"after={'9' * 20}"]
)
def test_invalid_query_is_refused(site: Site, query: str) -> None:
    path = f"/sso/v1/users?{query}"

    assert ask(path, signed_by("site_a", path)).status_code in {400, 401}


def test_feed_accepts_both_secrets_during_a_rotation_and_then_only_the_new_one(site: Site) -> None:
    old = dsn_for("site_a")
    registry.begin_rotation(site)

    def answer_to(dsn: Dsn) -> int:
        with override_settings(SSO_DSN=str(dsn)):
            header = client.authorization("GET", USERS, uuid.uuid4().hex)
        return ask(USERS, header).status_code

    assert (answer_to(old), answer_to(dsn_for("site_a"))) == (200, 200)
    registry.finish_rotation(site)
    assert (answer_to(old), answer_to(dsn_for("site_a"))) == (401, 200)


def refused(response: Any) -> str:
    assert response.status_code == 401
    assert "SSO-Signature" not in response.headers
    assert response.headers["WWW-Authenticate"] == "SSO"
    return response.json()["error"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "SSO",
        "SSO site_a",
        "SSO site_a:",
        "Bearer site_a:x",
        "sso site_a:x",
        "SSO Site_A:x",
        "SSO site_a:x y",
        "SSO site_a:" + "x" * 5000,
        "SSO site_a:x\n",
        "SSO " + "a" * 33 + ":x",
    ],
)
def test_attack_request_without_a_readable_signature(site: Site, header: str) -> None:
    assert refused(ask(USERS, header)) == "unsigned"


def test_attack_unknown_site(site: Site) -> None:
    header = signed_by("site_a", USERS).replace("site_a:", "site_x:")

    assert refused(ask(USERS, header)) == "bad-signature"


@pytest.mark.parametrize("state", ["unknown", "removed", "inactive", "wrong key"])
def test_attack_stranger_probes_for_names_of_sites(
    site: Site, state: str, caplog: pytest.LogCaptureFixture, django_assert_num_queries: Any
) -> None:
    header = signed_by("site_a", USERS)
    match state:
        case "unknown":
            header = header.replace("site_a:", "site_x:")
        case "removed":
            registry.remove(site)
        case "inactive":
            Site.objects.update(is_active=False)
        case "wrong key":
            header = header[:-1] + ("A" if header[-1] != "A" else "Q")
    caplog.clear()

    with caplog.at_level("WARNING", "portal.feed"), django_assert_num_queries(1):
        response = ask(USERS, header)

    assert refused(response) == "bad-signature"
    assert set(response.json()) == {"error", "time"}
    reason = "bad-signature" if state == "wrong key" else "unknown-site"
    said = [each.message for each in caplog.records if each.name == "portal.feed"]
    assert said == [f"Refused a feed request: {reason}"]


def test_attack_removed_site_sends_a_request(site: Site) -> None:
    header = signed_by("site_a", USERS)
    registry.remove(site)

    assert refused(ask(USERS, header)) == "bad-signature"


def test_attack_site_sends_a_request_in_another_sites_name(site: Site, members: Site) -> None:
    header = signed_by("site_b", USERS).replace("site_b:", "site_a:")

    assert refused(ask(USERS, header)) == "bad-signature"


def test_attack_site_signs_with_its_other_keys(site: Site) -> None:
    site_keys = dsn_for("site_a").site_keys[0]
    claims = {"m": "GET", "p": USERS, "n": NONCE}
    for key in (site_keys.secret, site_keys.django_secret_key, site_keys.redis_password):
        serializer = URLSafeTimedSerializer(
            key, salt="sso.request", signer_kwargs={"digest_method": hashlib.sha256}
        )
        assert refused(ask(USERS, f"SSO site_a:{serializer.dumps(claims)}")) == "bad-signature"


@pytest.mark.parametrize("position", [0, 5, 40, -5, -2])
def test_attack_signature_is_tampered_with(site: Site, position: int) -> None:
    header = signed_by("site_a", USERS)
    token = header.removeprefix("SSO site_a:")
    index = position % len(token)
    forged = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]

    assert refused(ask(USERS, f"SSO site_a:{forged}")) == "bad-signature"


@pytest.mark.parametrize(
    "path",
    [
        "/sso/v1/users?after=0&limit=1000",
        "/sso/v1/users?after=0&limit=10&limit=1000",
        "/sso/v1/users",
        "/sso/v1/status",
    ],
)
def test_attack_signature_for_another_address(site: Site, path: str) -> None:
    assert refused(ask(path, signed_by("site_a", USERS))) == "other-request"


def test_attack_signature_for_another_method(site: Site) -> None:
    assert refused(ask(USERS, signed_by("site_a", USERS, method="POST"))) == "other-request"
    assert ask(USERS, signed_by("site_a", USERS), method="POST").status_code == 405


@pytest.mark.parametrize("seconds", [-3600, -62, 62, 3600])
def test_attack_stale_signature(site: Site, seconds: int) -> None:
    now = time.time()
    with time_machine.travel(now + seconds, tick=False):
        header = signed_by("site_a", USERS)

    with time_machine.travel(now, tick=False):
        response = ask(USERS, header)

    assert refused(response) == "stale"
    assert abs(response.json()["time"] - now) < 1


@pytest.mark.parametrize("seconds", [-55, 55])
def test_clocks_can_differ_by_less_than_a_minute(site: Site, seconds: int) -> None:
    now = time.time()
    with time_machine.travel(now + seconds, tick=False):
        header = signed_by("site_a", USERS)

    with time_machine.travel(now, tick=False):
        assert ask(USERS, header).status_code == 200


def test_attack_replayed_signature(site: Site) -> None:
    header = signed_by("site_a", USERS)

    assert ask(USERS, header).status_code == 200
    assert refused(ask(USERS, header)) == "replayed"


def test_nonce_is_stored_for_as_long_as_its_request_could_be_replayed(
    site: Site, valkey: ValkeyServer
) -> None:
    ask(USERS, signed_by("site_a", USERS, nonce=NONCE))

    left = valkey.admin.ttl(f"sso:nonce:site_a:{NONCE}")

    # If a site's clock is a minute ahead, its request is fresh for two minutes.
    assert 120 < left <= 130


def test_two_sites_may_use_the_same_nonce(site: Site, members: Site) -> None:
    assert ask(USERS, signed_by("site_a", USERS, nonce=NONCE)).status_code == 200
    assert ask(USERS, signed_by("site_b", USERS, nonce=NONCE)).status_code == 200


@pytest.mark.parametrize("nonce", ["short", NONCE.upper(), NONCE + "0", "x" * 32])
def test_attack_malformed_nonce(site: Site, nonce: str) -> None:
    assert refused(ask(USERS, signed_by("site_a", USERS, nonce=nonce))) == "unsigned"


def test_feed_answers_503_if_redis_cannot_rule_out_a_replay(site: Site, valkey: ValkeyServer) -> None:
    header = signed_by("site_a", USERS)
    valkey.kill()

    response = ask(USERS, header)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "users" not in response.json()


def test_attack_answer_is_tampered_with_or_exchanged(site: Site) -> None:
    people("ada")
    response = ask(USERS, signed_by("site_a", USERS, nonce=NONCE))
    signature = response.headers["SSO-Signature"]
    forged = json.dumps(response.json() | {"head": 0}).encode()
    kid, _, encoded = signature.partition(".")
    flipped = bytearray(base64_decode(encoded))
    flipped[0] ^= 1

    with at_site("site_a"):
        for header, nonce, body in [
            (signature, NONCE, forged),
            (signature, "f" * 32, response.content),
            (f"{kid}.{base64_encode(bytes(flipped)).decode()}", NONCE, response.content),
            ("", NONCE, response.content),
            (kid, NONCE, response.content),
            (f"{kid}.!!", NONCE, response.content),
        ]:
            with pytest.raises((BadSignature, UnknownKey)):
                verify_answer(header, nonce, body, conf.dsn().public_keys)


def test_attack_answer_passes_for_an_identity_record(site: Site) -> None:
    with pytest.raises(ValueError, match="record"):
        keys.sign_detached(identity.FORMAT + b".kid.claims")


def test_feed_sets_no_cookie(site: Site) -> None:
    response = ask(USERS, signed_by("site_a", USERS))

    assert not response.cookies


# --- waking sites ------------------------------------------------------------------------------


def test_change_wakes_the_sites_and_names_no_user(
    valkey: ValkeyServer, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        [ada] = people("ada")

    events = [values for _, values in valkey.admin.xrange("sso:events")]

    assert {"type": "user", "site": "portal", "version": str(versions.head())} in events
    assert str(ada.pk) not in str([event for event in events if event.get("type") == "user"])


def test_change_is_saved_even_if_redis_cannot_wake_the_sites(
    valkey: ValkeyServer, django_capture_on_commit_callbacks: Any
) -> None:
    valkey.kill()

    with django_capture_on_commit_callbacks(execute=True):
        people("ada")

    assert User.objects.filter(username="ada").exists()


def test_events_are_in_the_portals_namespace() -> None:
    assert store.events_key(conf.namespace()) == "sso:events"
    assert settings.SSO_DSN
