"""No user is signed in by an old backup, by a failover, or by the data of another installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import redis

from demo import valkey
from tests.stories.people import EVERYWHERE, SITES, Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology


@dataclass
class Backup:
    """Copies of all keys that contain a text, as in a replica or a backup."""

    topology: StoryTopology
    text: str
    copies: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)

    def take(self) -> None:
        with redis.Redis.from_url(self.topology.operator_url) as client:
            for key in client.scan_iter(f"*{self.text}*"):
                self.copies[key] = (max(0, client.pttl(key)), client.dump(key))

    def restore(self) -> None:
        with redis.Redis.from_url(self.topology.operator_url) as client:
            for key, (ttl, value) in self.copies.items():
                client.restore(key, ttl, value, replace=True)

    def exists(self) -> bool:
        with redis.Redis.from_url(self.topology.operator_url) as client:
            return any(client.exists(key) for key in self.copies)


@pytest.mark.parametrize("way", ["sign out everywhere", "deactivated"])
def test_a_revoked_session_restored_from_a_backup_signs_no_user_in(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell], way: str
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    visitor.signed_in_at()
    cookie = visitor.page.context.cookies()
    backup = Backup(visitor.topology, visitor.sid)
    backup.take()
    assert len(backup.copies) >= 4, "The identity record and three site sessions."

    if way == "sign out everywhere":
        visitor.topology.manage("portal", "sso_sessions", "revoke", "--person", mia.username)
    else:
        shell("portal")("user = User.objects.get(pk=sub); user.is_active = False; user.save()", sub=mia.sub)
    # The sites learn it from the feed; until then they trust the (old) record.
    head = shell("portal")("from portal.accounts import versions; versions.head()")
    for site in SITES:
        visitor.topology.eventually(lambda site=site: shell(site)("FeedCursor.load().position") >= head)
    backup.restore()
    visitor.page.context.add_cookies(cookie)

    assert visitor.signed_in_at() == set()


def test_the_portal_deletes_an_ended_session_that_a_failover_restores(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    visitor.signed_in_at()
    cookie = visitor.page.context.cookies()
    backup = Backup(visitor.topology, visitor.sid)
    backup.take()
    visitor.sign_out("site_a")
    # The portal knows of the sign-out once it has deleted the data of the other parts.
    visitor.topology.eventually(lambda: not backup.exists())

    backup.restore()
    visitor.topology.restart("redis")  # to the portal, this is another server
    visitor.topology.eventually(lambda: not backup.exists())
    visitor.page.context.add_cookies(cookie)

    assert visitor.signed_in_at() == set()


def test_an_operator_can_delete_restored_sessions_at_once(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    cookie = visitor.page.context.cookies()
    backup = Backup(visitor.topology, visitor.sid)
    backup.take()
    visitor.sign_out("portal")
    backup.restore()

    visitor.topology.manage("portal", "sso_sessions", "reap")

    visitor.page.context.add_cookies(cookie)
    assert visitor.signed_in_at() == set()


def test_staging_and_production_on_one_server_stay_separate(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    topology = visitor.topology
    visitor.sign_in(new_person())
    visitor.signed_in_at()
    password = "of staging"
    rules = valkey.users("staging", password, password).splitlines()[1].split()[1:]
    topology.redis.execute_command("ACL SETUSER", rules[0], "reset", *rules[1:])
    try:
        with redis.Redis(
            port=topology.redis_port, username="staging-portal", password=password, decode_responses=True
        ) as staging:
            staging.set("staging:{x}:identity", "1", px=1000)
            identity = f"story:{{{visitor.sid}}}:identity"
            for attempt in (
                lambda: staging.get(identity),
                lambda: staging.set(identity, "1"),
                lambda: staging.unlink(identity),
                lambda: staging.xadd("story:events", {"type": "user"}),
                lambda: staging.hgetall(f"story:{{{visitor.sid}}}:site:site_a"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    attempt()
    finally:
        topology.redis.acl_deluser("staging-portal")

    assert all(key.startswith(("story:", "staging:")) for key in topology.redis.scan_iter("*"))
    assert visitor.signed_in_at() == set(EVERYWHERE)


def test_a_cookie_of_another_namespace_is_ignored(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    visitor.sign_in(new_person())
    value = (visitor.sso_cookie or {})["value"]

    pages = [
        visitor.topology.get(
            site, "/you/" if site == "site_a" else "/orders/", cookies={"__Secure-staging": value}
        )
        for site in SITES
    ]

    assert [page.status for page in pages] == [302, 302]
