"""Sessions are issued, re-signed, ended, and stay ended."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from portal.accounts.services import sign_out_everywhere
from portal.audit import services as audit
from portal.audit.models import AuditEvent
from portal.registry import access
from portal.registry import services as registry
from portal.registry.models import Grant, Role, Site
from portal.sessions import ending, following, issuing, listing, records, resigning
from portal.sessions.models import EndReason, Progress, Session
from portal.sessions.signing import sign_record
from portal.sessions.stream import read_sign_outs
from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable
from sso_common.store import administration
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer

from .people import identity_of, is_live, person

pytestmark = pytest.mark.django_db(transaction=True)


def issue(user: Any, *, remember: bool = False) -> SessionToken:
    return issuing.issue(user, amr=["pwd"], remember=remember)[0]


def is_alive(token: SessionToken) -> bool:
    return is_live(token.sid)


def record_of(token: SessionToken) -> bytes:
    record = store.run(store.read_session(token.sid)).record
    assert record is not None
    return record


def redis_keys(valkey: ValkeyServer) -> set[str]:
    return set(valkey.admin.keys("sso:*")) - {"sso:events"}


# --- issuing ----------------------------------------------------------------------------------------


@override_settings(SSO_SESSIONS_PER_USER=3)
def test_attack_endless_sign_ins_end_the_oldest_sessions() -> None:
    user = person()
    with time_machine.travel("2026-11-01", tick=False) as clock:
        tokens = []
        for _ in range(5):
            tokens.append(issue(user))
            clock.shift(1)

        assert [is_live(token.sid) for token in tokens] == [False, False, True, True, True]
    assert set(Session.objects.exclude(ended_at=None).values_list("ended_reason", flat=True)) == {"too_many"}


def test_issued_identity_contains_user_times_methods_and_sites() -> None:
    user = person(first_name="Anna")
    registry.register("site_a", "https://a.sso.localhost", roles={"editor": "Editor"})
    registry.register("site_b", "https://b.sso.localhost", access="members")
    registry.give_role(user, "site_a", "editor")
    user.refresh_from_db()

    with time_machine.travel(1_800_000_000, tick=False):
        token = issue(user)

    identity = identity_of(token)
    assert (identity.sid, identity.bind, identity.sub) == (token.sid, token.bind, user.pk)
    assert (identity.auth_time, identity.iat) == (1_800_000_000, 1_800_000_000)
    assert (identity.exp, identity.idle) == (1_800_000_000 + 7 * 86400, 12 * 3600)
    assert identity.amr == ("pwd",)
    assert identity.user == user.to_snapshot()
    assert dict(identity.sites) == {"portal": frozenset(), "site_a": frozenset({"editor"})}


def test_remember_me_extends_both_timeouts(valkey: ValkeyServer) -> None:
    token = issue(person(), remember=True)

    identity = identity_of(token)
    assert (identity.exp - identity.auth_time, identity.idle) == (90 * 86400, 14 * 86400)
    assert valkey.admin.pttl(store.identity_key("sso", token.sid)) == pytest.approx(
        14 * 86400_000, abs=60_000
    )


def test_issuing_stores_no_secret(valkey: ValkeyServer) -> None:
    token = issue(person())

    row = Session.objects.get(sid=token.sid)
    assert token.secret not in str(vars(row))
    assert token.secret not in record_of(token).decode()
    assert token.secret.encode() not in valkey.admin.execute_command(
        "DUMP", store.user_key("sso", row.user_id), NEVER_DECODE=True
    )


def test_index_expires_with_the_longest_session(valkey: ValkeyServer) -> None:
    user = person()
    issue(user, remember=True)
    issue(user)

    assert valkey.admin.ttl(store.user_key("sso", user.pk)) == pytest.approx(90 * 86400, abs=60)


def test_issuing_without_redis_leaves_no_row(valkey: ValkeyServer) -> None:
    user = person()
    valkey.kill()

    with pytest.raises(StoreUnavailable):
        issue(user)

    assert not Session.objects.exists()


def test_user_can_sign_in_again_in_the_second_of_a_sign_out_everywhere() -> None:
    user = person()
    with time_machine.travel(1_800_000_000, tick=False):
        sign_out_everywhere(user)
        token = issue(user)

    assert is_alive(token)
    assert identity_of(token).auth_time >= user.not_before


def test_change_while_a_record_is_written_reaches_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    user = person()
    access_map = access.access_map

    def change_meanwhile(asked: Any) -> Any:
        # Committed before the record and its index entry exist, so re-signing finds nothing.
        get_user_model().objects.filter(pk=user.pk).update(first_name="Changed")
        return access_map(asked)

    monkeypatch.setattr(access, "access_map", change_meanwhile)
    token = issue(user)

    assert identity_of(token).user.first_name == "Changed"


def test_deactivation_while_a_record_is_written_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    user = person()
    access_map = access.access_map

    def deactivate_meanwhile(asked: Any) -> Any:
        get_user_model().objects.filter(pk=user.pk).update(is_active=False)
        return access_map(asked)

    monkeypatch.setattr(access, "access_map", deactivate_meanwhile)
    token = issue(user)

    assert not is_alive(token)


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"access": "members"}, {"name": "site_c"}],
    ids=lambda each: next(iter(each)),
)
def test_record_written_while_a_site_closes_does_not_contain_the_site(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    user = person()
    registry.register("site_a", "https://a.sso.localhost")
    access_map = access.access_map

    def close_meanwhile(asked: Any) -> Any:
        monkeypatch.setattr(access, "access_map", access_map)
        sites = access_map(asked)
        # Committed before the row exists, so re-signing does not find the session.
        Site.objects.filter(name="site_a").update(**change)
        return sites

    monkeypatch.setattr(access, "access_map", close_meanwhile)
    token = issue(user)

    assert not identity_of(token).is_admitted_to("site_a")


# --- re-signing -------------------------------------------------------------------------------------


def test_change_of_a_user_reaches_all_live_sessions() -> None:
    user = person()
    tokens = [issue(user), issue(user, remember=True)]

    user.first_name = "Anneke"
    user.save()

    assert {identity_of(token).user.first_name for token in tokens} == {"Anneke"}
    assert {identity_of(token).user.version for token in tokens} == {user.version}


def test_resigning_changes_neither_session_nor_its_times(valkey: ValkeyServer) -> None:
    user = person()
    token = issue(user)
    before = identity_of(token)
    valkey.admin.pexpire(store.identity_key("sso", token.sid), 1_000_000)

    resigning.resign([user.pk])

    after = identity_of(token)
    assert replace(after, iat=before.iat) == before
    assert valkey.admin.pttl(store.identity_key("sso", token.sid)) == pytest.approx(1_000_000, abs=60_000)


@pytest.mark.parametrize("way", ["save", "queryset", "bulk", "delete", "queryset_delete", "cascade", "move"])
def test_role_reaches_live_sessions_however_it_is_written(way: str) -> None:
    user, other = person(), person("ben")
    site = registry.register("site_a", "https://a.sso.localhost", roles={"editor": "", "staff": ""})
    role, staff = Role.objects.get(name="editor"), Role.objects.get(name="staff")
    if way not in {"save", "bulk"}:
        Grant.objects.create(user=user, role=role)
    token, others = issue(user), issue(other)

    match way:
        case "save":
            Grant.objects.create(user=user, role=role)
        case "bulk":
            Grant.objects.bulk_create([Grant(user=user, role=role)])
        case "queryset":
            Grant.objects.filter(user=user).update(role=staff)
        case "delete":
            Grant.objects.get(user=user).delete()
        case "queryset_delete":
            Grant.objects.all().delete()
        case "cascade":
            role.delete()
        case "move":
            grant = Grant.objects.get(user=user)
            grant.user = other
            grant.save()

    expected = {"save": {"editor"}, "bulk": {"editor"}, "queryset": {"staff"}}.get(way, set())
    assert identity_of(token).roles_at(site.name) == expected
    assert identity_of(others).roles_at(site.name) == ({"editor"} if way == "move" else set())


def test_renamed_role_reaches_live_sessions() -> None:
    user = person()
    registry.register("site_a", "https://a.sso.localhost", roles={"editor": ""})
    registry.give_role(user, "site_a", "editor")
    token = issue(user)

    role = Role.objects.get()
    role.name = "author"
    role.save()
    assert identity_of(token).roles_at("site_a") == {"author"}

    Role.objects.update(name="writer")
    assert identity_of(token).roles_at("site_a") == {"writer"}


def test_changes_of_sites_reach_live_sessions() -> None:
    token = issue(person())

    site = registry.register("site_a", "https://a.sso.localhost")
    assert identity_of(token).is_admitted_to("site_a")

    Site.objects.update(is_active=False)
    assert not identity_of(token).is_admitted_to("site_a")

    site.refresh_from_db()
    site.is_active, site.access = True, "members"
    site.save()
    assert not identity_of(token).is_admitted_to("site_a")

    site.access = "everyone"
    site.save()
    assert identity_of(token).is_admitted_to("site_a")

    registry.remove(site)
    assert not identity_of(token).is_admitted_to("site_a")


def test_resigning_does_not_resurrect_a_session_that_ends_concurrently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = person()
    token = issue(user)
    replace_records = records.replace_records

    def sign_out_meanwhile(changes: Any) -> Any:
        store.run(store.end_session(token.sid, user.pk))
        return replace_records(changes)

    monkeypatch.setattr(records, "replace_records", sign_out_meanwhile)
    resigning.resign([user.pk])

    assert not is_alive(token)


def test_older_view_of_a_user_does_not_overwrite_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    user = person()
    token = issue(user)
    replace_records = records.replace_records
    names = iter(["Second"])

    def change_meanwhile(changes: Any) -> Any:
        for name in names:
            monkeypatch.setattr(records, "replace_records", replace_records)
            get_user_model().objects.filter(pk=user.pk).update(first_name=name)
        return replace_records(changes)

    monkeypatch.setattr(records, "replace_records", change_meanwhile)
    get_user_model().objects.filter(pk=user.pk).update(first_name="First")

    assert identity_of(token).user.first_name == "Second"


def test_concurrent_resigning_ends_with_the_last_change() -> None:
    user = person()
    token = issue(user)
    resigning.resign([user.pk])
    user.refresh_from_db()
    get_user_model().objects.filter(pk=user.pk).update(last_name="Last")
    failures: list[BaseException] = []

    def resign() -> None:
        from django.db import connection

        try:
            for _ in range(5):
                store.run(records.read_records([token.sid]))
                old = record_of(token)
                changes = {token.sid: (old, sign_record(replace(identity_of(token), iat=1)))}
                store.run(records.replace_records(changes))
        except BaseException as error:  # noqa: BLE001  it is shown below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=resign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    resigning.resign([user.pk])

    assert not failures
    assert identity_of(token).user.last_name == "Last"


# --- ending -----------------------------------------------------------------------------------------


def test_ended_session_leaves_nothing_in_redis(valkey: ValkeyServer) -> None:
    registry.register("site_a", "https://a.sso.localhost")
    token = issue(person())
    for site in ("portal", "site_a"):
        valkey.admin.hset(store.site_key("sso", token.sid, site), "cart", "1")

    ending.end_session(token.sid, EndReason.REVOKED)

    assert redis_keys(valkey) == set()
    row = Session.objects.get()
    assert (row.ended_reason, row.is_gone) == ("revoked", True)


def test_end_sessions_keeps_the_excepted_session() -> None:
    user, other = person(), person("ben")
    keep, *gone = issue(user), issue(user), issue(user, remember=True)
    others = issue(other)

    ending.end_sessions([user.pk], except_sid=keep.sid)

    assert [is_alive(token) for token in (keep, *gone, others)] == [True, False, False, True]


def test_end_sessions_ends_a_session_that_the_database_has_lost() -> None:
    user = person()
    token = issue(user)
    Session.objects.all().delete()  # as if restored from a backup

    ending.end_sessions([user.pk])

    assert not is_alive(token)


@pytest.mark.parametrize("way", ["deactivate", "queryset", "delete", "everywhere"])
def test_ending_an_account_ends_its_sessions(way: str) -> None:
    user = person()
    token = issue(user)

    match way:
        case "deactivate":
            user.is_active = False
            user.save()
        case "queryset":
            get_user_model().objects.update(is_active=False)
        case "delete":
            user.delete()
        case "everywhere":
            sign_out_everywhere(user)

    assert not is_alive(token)
    assert Session.objects.get().ended_reason == "account"


# --- outages of Redis -------------------------------------------------------------------------------


def test_change_during_an_outage_of_redis_reaches_sessions_later(valkey: ValkeyServer) -> None:
    user = person()
    token = issue(user)
    valkey.kill()

    user.first_name = "Anneke"
    user.save()
    valkey.start()
    assert identity_of(token).user.first_name == ""

    following.catch_up()
    assert identity_of(token).user.first_name == "Anneke"


def test_site_closed_during_an_outage_of_redis_is_closed_afterwards(valkey: ValkeyServer) -> None:
    registry.register("site_a", "https://a.sso.localhost")
    token = issue(person())
    valkey.kill()

    Site.objects.update(is_active=False)
    valkey.start()
    following.catch_up()

    assert not identity_of(token).is_admitted_to("site_a")


def test_session_ended_during_an_outage_of_redis_is_deleted_afterwards(valkey: ValkeyServer) -> None:
    user, other = person(), person("ben")
    token, others = issue(user), issue(other)
    valkey.kill()

    user.is_active = False
    user.save()
    with pytest.raises(StoreUnavailable):
        ending.end_session(others.sid, EndReason.REVOKED)
    valkey.start()
    assert is_alive(token)

    following.catch_up()
    assert not is_alive(token)
    assert not is_alive(others)


def test_session_brought_back_by_a_failover_is_deleted_again(valkey: ValkeyServer) -> None:
    token = issue(person())
    following.catch_up()
    record = record_of(token)
    ending.end_session(token.sid, EndReason.REVOKED)

    # As if the deletion had not reached the new primary.
    valkey.admin.set(store.identity_key("sso", token.sid), record, ex=1000)
    valkey.restart()
    assert is_alive(token)
    following.catch_up()

    assert not is_alive(token)


def test_sign_out_at_a_site_is_noticed_and_survives_a_failover(valkey: ValkeyServer) -> None:
    user = person()
    token = issue(user)
    record = record_of(token)
    valkey.admin.xadd(
        "sso:events", {"type": "signed_out", "site": "site_a", "sid": token.sid, "sub": str(user.pk)}
    )
    valkey.admin.unlink(store.identity_key("sso", token.sid))
    following.catch_up()
    assert Session.objects.get().ended_reason == "signed_out"

    valkey.admin.set(store.identity_key("sso", token.sid), record, ex=1000)
    valkey.restart()
    following.catch_up()

    assert not is_alive(token)


def test_sign_out_at_a_site_deletes_what_other_sites_have_stored(valkey: ValkeyServer) -> None:
    registry.register("site_a", "https://a.sso.localhost")
    registry.register("site_b", "https://b.sso.localhost")
    user = person()
    token = issue(user)
    for site in ("portal", "site_b"):
        valkey.admin.hset(store.site_key("sso", token.sid, site), "cart", "1")
    valkey.admin.unlink(store.identity_key("sso", token.sid))
    valkey.admin.xadd(
        "sso:events", {"type": "signed_out", "site": "site_a", "sid": token.sid, "sub": str(user.pk)}
    )

    following.catch_up()

    assert valkey.admin.keys("*site:*") == []


def test_data_of_sites_does_not_outlive_an_unused_session_for_long(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the session expires. Redis deletes the record alone after the idle timeout."""
    monkeypatch.setattr(following, "PRUNED_AT_ONCE", 2)
    registry.register("site_a", "https://a.sso.localhost")
    user = person()
    tokens = [issue(user) for _ in range(5)]
    for token in tokens:
        valkey.admin.hset(store.site_key("sso", token.sid, "site_a"), "cart", "1")
    unused = {tokens[1].sid, tokens[3].sid}
    for sid in unused:
        valkey.admin.unlink(store.identity_key("sso", sid))
    Progress.objects.filter(name="pruned").delete()  # as if on another day

    for _ in range(4):
        following.catch_up()

    ended = Session.objects.filter(ended_reason=EndReason.EXPIRED, is_gone=True)
    assert set(ended.values_list("sid", flat=True)) == unused
    assert len(valkey.admin.keys("*site:site_a")) == 3
    assert all(is_alive(token) for token in tokens if token.sid not in unused)


def test_attack_malformed_events_are_ignored(valkey: ValkeyServer) -> None:
    token = issue(person())
    for event in (
        {"type": "signed_out"},
        {"type": "signed_out", "sid": "nobody", "site": "x" * 500},
        {"type": "signed_out", "sid": b"\xff\xfe"},
        # PostgreSQL refuses a NUL, and no user could sign in while the event is in the stream.
        {"type": "signed_out", "sid": "A" * 21 + "\x00"},
        {"nonsense": "x"},
    ):
        valkey.admin.xadd("sso:events", event)

    following.catch_up()

    assert store.run(read_sign_outs("0-0"))[0] == []
    assert is_alive(token)
    assert Session.objects.get().ended_at is None


def test_attack_nul_in_the_site_of_a_signed_out_event_is_removed(
    valkey: ValkeyServer,
) -> None:
    registry.register("site_a", "https://a.sso.localhost")
    token = issue(person())
    valkey.admin.xadd("sso:events", {"type": "signed_out", "sid": token.sid, "site": "site_a\x00"})

    following.catch_up()

    assert AuditEvent.objects.get(kind="signed_out").site == "site_a"


@pytest.mark.parametrize(
    ("named", "site", "detail"),
    [
        ("site_a", "site_a", "according to the event"),
        ("site_x", "", "the event names no registered site"),
        ("<b>" * 200, "", "the event names no registered site"),
    ],
)
def test_attack_sign_out_in_another_sites_name_is_recorded_as_a_claim(
    valkey: ValkeyServer, named: str, site: str, detail: str
) -> None:
    registry.register("site_a", "https://a.sso.localhost")
    token = issue(person())
    valkey.admin.xadd("sso:events", {"type": "signed_out", "sid": token.sid, "site": named})

    following.catch_up()

    event = AuditEvent.objects.get(kind="signed_out")
    assert (event.sid, event.site, event.detail) == (token.sid, site, detail)


def test_run_ids_have_a_fixed_length_however_many_nodes_there_are() -> None:
    # Six ids of 40 characters would be too long for their column, and no user could sign in.
    assert len(administration.run_ids()) == 64


def test_catch_up_writes_nothing_if_there_is_nothing_to_do(
    valkey: ValkeyServer, django_assert_max_num_queries: Any
) -> None:
    issue(person())
    following.catch_up()
    before = {row.name: row.value for row in Progress.objects.all()}

    with django_assert_max_num_queries(9) as captured:
        following.catch_up()

    assert {row.name: row.value for row in Progress.objects.all()} == before
    assert not [query for query in captured if not query["sql"].startswith("SELECT")]


def test_catch_up_deletes_only_old_sessions_and_events(settings: Any) -> None:
    settings.SSO_AUDIT_DAYS = 10
    user = person()
    old, recent, live = issue(user), issue(user), issue(user)
    now = timezone.now()
    # Ended long ago, but until it expires, an old Redis could bring it back.
    Session.objects.filter(sid=recent.sid).update(ended_at=now - datetime.timedelta(days=300), is_gone=True)
    Session.objects.filter(sid=old.sid).update(expires=now - datetime.timedelta(days=91))
    for days in (11, 9):
        audit.record("signed_in", detail=f"{days} days ago")
        AuditEvent.objects.filter(detail=f"{days} days ago").update(at=now - datetime.timedelta(days=days))
    Progress.objects.filter(name="pruned").delete()  # as if on another day

    following.catch_up()

    assert set(Session.objects.values_list("sid", flat=True)) == {recent.sid, live.sid}
    kept = AuditEvent.objects.filter(detail__endswith="days ago")
    assert list(kept.values_list("detail", flat=True)) == ["9 days ago"]


def test_catch_up_prunes_once_a_day_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PRUNED_AT_ONCE", 2)
    user = person()

    def expired_long_ago(count: int) -> None:
        sids = [issue(user).sid for _ in range(count)]
        expires = timezone.now() - datetime.timedelta(days=91)
        Session.objects.filter(sid__in=sids).update(expires=expires)

    def left_after_catching_up() -> int:
        following.catch_up()
        return Session.objects.count()

    with time_machine.travel("2026-03-01T12:00Z", tick=False):
        expired_long_ago(3)
        assert [left_after_catching_up() for _ in range(2)] == [1, 0]
        expired_long_ago(1)
        assert left_after_catching_up() == 1
    with time_machine.travel("2026-03-02T12:00Z", tick=False):
        assert left_after_catching_up() == 0


def test_audit_log_without_a_limit_keeps_everything(settings: Any) -> None:
    settings.SSO_AUDIT_DAYS = 0
    audit.record("signed_in")
    AuditEvent.objects.update(at=timezone.now() - datetime.timedelta(days=5000))
    Progress.objects.filter(name="pruned").delete()

    following.catch_up()

    assert AuditEvent.objects.count() == 1


def test_sso_sessions_prune_counts_what_it_deletes(capsys: pytest.CaptureFixture[str]) -> None:
    user = person()
    issue(user)
    Session.objects.filter(sid=issue(user).sid).update(expires=timezone.now() - datetime.timedelta(days=40))

    call_command("sso_sessions", "prune", "--days", "30")

    assert capsys.readouterr().out == "1 sessions were deleted.\n"
    assert Session.objects.count() == 1


def test_resign_all_takes_a_few_queries_for_many_sessions(
    django_assert_max_num_queries: Any,
) -> None:
    tokens = [issue(person(f"user{number}")) for number in range(30)]

    with django_assert_max_num_queries(6):
        assert resigning.resign_all() == 30

    assert all(is_alive(token) for token in tokens)


# --- listing ----------------------------------------------------------------------------------------


def test_live_sessions_lists_the_current_session_first(valkey: ValkeyServer) -> None:
    user = person()
    first, second, third = issue(user), issue(user), issue(user)
    issue(person("ben"))
    valkey.admin.unlink(store.identity_key("sso", third.sid))
    valkey.admin.pexpire(store.identity_key("sso", second.sid), (12 * 3600 - 600) * 1000)
    Session.objects.update(auth_time=timezone.now() - datetime.timedelta(hours=5))

    listed = listing.live_sessions(user, second.sid)

    assert [(each.row.sid, each.is_current) for each in listed] == [(second.sid, True), (first.sid, False)]
    assert timezone.now() - listed[0].last_used == pytest.approx(
        datetime.timedelta(seconds=600), abs=datetime.timedelta(seconds=60)
    )
    assert Session.objects.get(sid=third.sid).ended_reason == "expired"


def test_session_past_its_absolute_expiry_is_not_listed() -> None:
    user = person()
    with time_machine.travel(time.time() - 8 * 86400):
        token = issue(user)

    assert listing.live_sessions(user) == []
    with pytest.raises(AssertionError):
        assert is_alive(SessionToken(sid="A" * 22, secret=token.secret))


def test_users_without_sessions_can_be_resigned_and_ended() -> None:
    assert resigning.resign([uuid.uuid4()]) == 0
    ending.end_sessions([uuid.uuid4()])
    assert conf.dsn().site == "portal"
