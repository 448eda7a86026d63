"""The portal with a cluster: a user's keys are on several nodes, and each node has its own Redis users."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client, override_settings
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from demo.valkey import users as shipped_users
from portal import keys
from portal.registry import rights
from portal.registry import services as registry
from portal.registry.dsns import dsn_for
from portal.registry.models import Site
from portal.sessions import ending, following, issuing, listing, records
from portal.sessions.models import Session
from sso_common import client, conf, sessions, store
from sso_common.tokens import SessionToken
from tests.servers import ValkeyCluster, ValkeyServer, until, valkey_cluster

from .people import browser, identity_of, is_live, is_signed_in, person, sign_in, token_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def started() -> Iterator[ValkeyCluster]:
    with valkey_cluster() as servers:
        yield servers


@pytest.fixture(autouse=True)
def servers(started: ValkeyCluster) -> Iterator[ValkeyCluster]:
    """The cluster, running and empty. The portal connects as the shipped user."""
    started.clear()
    _, portal_user = shipped_users("sso", "unused", "portal-password").splitlines()
    for node in started.nodes:
        node.ask("ACL SETUSER", *portal_user.split()[1:])
        node.admin.acl_save()
    url = f"redis-cluster://sso-portal:portal-password@{started.url.rpartition('@')[2]}"
    text = str(keys.portal_dsn_from({"SSO_REDIS_URL": url}, keys.keyring()))
    caches = {"sso": conf.cache(text), "default": conf.cache(text) | {"KEY_PREFIX": "sso:portal-cache"}}
    with override_settings(SSO_DSN=text, SSO_SITE_REDIS_URL=keys.without_user(url), CACHES=caches):
        yield started
    started.ensure_running()


@pytest.fixture
def site() -> Site:
    return registry.register("site_a", "https://a.sso.localhost", roles={"editor": "Editor"})


@contextlib.contextmanager
def at_site(name: str) -> Iterator[None]:
    """Run ``sso_common`` as it runs at the site, with the site's rights."""
    text = str(dsn_for(name))
    with override_settings(SSO_DSN=text, CACHES={**settings.CACHES, "sso": conf.cache(text)}):
        yield


def issue_on_all(servers: ValkeyCluster, user: Any) -> list[SessionToken]:
    """Issue sessions of one user until every primary holds one."""
    tokens, nodes = [], set()
    while len(nodes) < 3:
        tokens.append(issuing.issue(user, amr=["pwd"], remember=False)[0])
        nodes.add(servers.primary_of(store.identity_key("sso", tokens[-1].sid)).port)
    return tokens


def connect(node: ValkeyServer, name: str) -> redis.Redis:
    """Connect to one node with a site's credentials."""
    dsn = dsn_for(name)
    password = dsn.site_keys[0].redis_password
    return redis.Redis(
        port=node.port, username=dsn.redis_user, password=password, retry=Retry(NoBackoff(), 0)
    )


# --- sessions ---------------------------------------------------------------------------------------


def test_sign_in_at_the_portal_and_sign_out_at_a_site_work_on_every_node(site: Site) -> None:
    for number in range(6):  # rate limits, sessions and indexes on all nodes
        person(f"person{number}")
        visitor = browser()
        sign_in(visitor, f"person{number}")
        assert is_signed_in(visitor)
        token = token_of(visitor)

        with at_site("site_a"):
            session = sessions.SessionStore(token=token)
            assert session.identity is not None
            assert session.identity.user.username == f"person{number}"
            session.sign_out()

        assert not is_signed_in(visitor)
        following.catch_up()
        assert Session.objects.get(sid=token.sid).ended_at is not None


def test_change_reaches_the_records_on_every_node(site: Site, servers: ValkeyCluster) -> None:
    user = person()
    tokens = issue_on_all(servers, user)

    get_user_model().objects.filter(pk=user.pk).update(first_name="Anna-Lena")
    registry.give_role(user, "site_a", "editor")

    for token in tokens:
        identity = identity_of(token)
        assert identity.user.first_name == "Anna-Lena"
        assert identity.sites["site_a"] == {"editor"}


def test_ending_all_sessions_leaves_nothing_on_any_node(site: Site, servers: ValkeyCluster) -> None:
    user = person()
    tokens = issue_on_all(servers, user)
    with at_site("site_a"):
        for token in tokens:
            assert store.run(store.save_site_session(token.sid, store.Changes(put={b"cart": b"1"}), 100))

    ending.end_sessions([user.pk])

    names = {name for node in servers.primaries() for name in node.admin.keys("sso:*")}
    assert names == {"sso:events"}


def test_live_sessions_contains_those_of_every_node(servers: ValkeyCluster) -> None:
    user = person()
    tokens = issue_on_all(servers, user)

    sids = {token.sid for token in tokens}
    assert {each.row.sid for each in listing.live_sessions(user)} == sids
    assert set(store.run(records.indexed_sids([user.pk]))[user.pk]) == sids


def test_sign_out_at_a_site_is_followed(site: Site, servers: ValkeyCluster) -> None:
    user = person()
    tokens = issue_on_all(servers, user)
    with at_site("site_a"):
        for token in tokens:
            store.run(store.end_session(token.sid, user.pk))

    following.catch_up()

    assert not Session.objects.filter(ended_at__isnull=True).exists()
    assert store.run(records.indexed_sids([user.pk])) == {user.pk: []}


def test_node_that_comes_back_with_an_ended_session_does_not_keep_it(servers: ValkeyCluster) -> None:
    user = person()
    tokens = issue_on_all(servers, user)
    following.catch_up()
    token, node = next((each, node) for each in tokens if (node := holder(servers, each)) in servers.lonely())
    name = store.identity_key("sso", token.sid)
    record = store.client().get(name)
    ending.end_sessions([user.pk])

    store.client().set(name, record, ex=1000)  # as if from an older copy of its data
    node.restart()
    servers.wait_until_well()
    following.catch_up()

    assert not is_live(token.sid)


def holder(servers: ValkeyCluster, token: SessionToken) -> ValkeyServer:
    return servers.primary_of(store.identity_key("sso", token.sid))


def test_attack_signed_request_is_replayed(site: Site) -> None:
    path = "/sso/v1/users?after=0&limit=10"
    for _ in range(6):  # nonces on all nodes
        with at_site("site_a"):
            authorization = client.authorization("GET", path, uuid.uuid4().hex)
        answers = [
            Client(HTTP_HOST="portal.sso.localhost").get(path, HTTP_AUTHORIZATION=authorization)
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [200, 401]


def test_change_wakes_a_waiting_site(site: Site) -> None:
    person()

    with at_site("site_a"):
        assert store.wait_for_user_event("0", 2000) is not None


def test_cache_keys_have_their_prefix_on_every_node(servers: ValkeyCluster) -> None:
    for number in range(12):
        cache.set(f"key{number}", number, 60)

    assert [cache.get(f"key{number}") for number in range(12)] == list(range(12))
    names = [name for node in servers.primaries() for name in node.admin.keys("*")]
    assert len(names) == 12
    assert all(name.startswith("sso:portal-cache:") for name in names)


# --- the sites' Redis users -------------------------------------------------------------------------


def test_site_can_do_all_that_sso_common_does(site: Site, servers: ValkeyCluster) -> None:
    user = person()
    for token in issue_on_all(servers, user):
        with at_site("site_a"):
            key = uuid.uuid4().hex
            store.ping()
            assert store.run(store.read_session(token.sid, key)).record is not None
            assert store.run(store.save_site_session(token.sid, store.Changes(put={b"a": b"1"}), 100))
            assert store.run(store.save_anonymous(key, store.Changes(put={b"b": b"2"}), 100, create=True))
            assert store.run(store.anonymous_exists(key))
            assert store.run(store.claim_anonymous(token.sid, key)) is not None
            assert store.run(store.adopt_anonymous(token.sid, key, {b"b": b"2"}, 100))
            assert store.run(store.read_session(token.sid)).fields.items() >= {(b"a", b"1"), (b"b", b"2")}
            assert store.run(store.announce_once(token.sid, 100, 400_000))
            store.run(store.forget_announcement(token.sid))
            store.run(store.extend_session(token.sid, 500_000))
            assert store.wait_for_user_event("$", 20) is None
            store.run(store.delete_site_session(token.sid))
            store.run(store.end_session(token.sid, user.pk))
            assert store.run(store.read_session(token.sid)).record is None


def test_attack_site_runs_other_commands_on_every_node(site: Site, servers: ValkeyCluster) -> None:
    sid = issue_on_all(servers, person())[0].sid
    for node in servers.nodes:  # the replica may become a primary
        connection = connect(node, "site_a")
        for command in (
            ("SET", store.identity_key("sso", sid), "forged"),
            ("HGETALL", store.site_key("sso", sid, "site_b")),
            ("ZRANGE", store.user_key("sso", "x"), 0, -1),
            ("CLUSTER", "FAILOVER"),
            ("CLUSTER", "RESET"),
            ("CLUSTER", "NODES"),
            ("MIGRATE", "127.0.0.1", 1, "x", 0, 1),
            ("KEYS", "*"),
            ("CONFIG", "GET", "*"),
            ("REPLICAOF", "NO", "ONE"),
        ):
            with pytest.raises(NoPermissionError):
                connection.execute_command(*command)
        connection.close()


def test_rotation_and_removal_reach_every_node(site: Site, servers: ValkeyCluster) -> None:
    old = [connect(node, "site_a") for node in servers.nodes]
    registry.begin_rotation(site)
    new = [connect(node, "site_a") for node in servers.nodes]
    assert all(each.ping() for each in [*old, *new])

    registry.finish_rotation(site)
    for each in old:
        each.connection_pool.disconnect()
        with pytest.raises(redis.AuthenticationError):
            each.ping()
        each.close()

    registry.remove(site)
    for each in new:
        each.connection_pool.disconnect()
        with pytest.raises(redis.AuthenticationError):
            each.ping()
        each.close()


def test_node_that_was_down_gets_the_redis_users_that_it_missed(servers: ValkeyCluster) -> None:
    replica = servers.replicas()[0]
    following.catch_up()
    replica.kill()
    until(lambda: str(replica.port) not in str(servers.nodes[1].ask("CLUSTER SLOTS")))
    registry.register("site_a", "https://a.sso.localhost")

    replica.start()
    servers.wait_until_well()
    following.catch_up()

    connection = connect(replica, "site_a")
    assert connection.ping()
    connection.close()


def test_the_check_of_rights_names_the_nodes_with_a_problem(site: Site, servers: ValkeyCluster) -> None:
    assert rights.check(site) == []
    first, second = servers.nodes[0], servers.replicas()[0]

    first.ask("ACL SETUSER", "sso-site_a", "-asking", "+keys")
    second.ask("ACL SETUSER", "sso-site_a", "+keys")
    both = ", ".join(sorted(f"127.0.0.1:{node.port}" for node in (first, second)))
    problems = rights.check(site)
    assert {f"added: +keys (at {both})", f"missing: +asking (at 127.0.0.1:{first.port})"} <= set(problems)
    # Newer servers also list what a user may not do.
    assert len(problems) == 2 or f"added: -asking (at 127.0.0.1:{first.port})" in problems

    second.ask("ACL DELUSER", "sso-site_a")
    assert rights.check(site) == [f"no Redis user sso-site_a (at 127.0.0.1:{second.port})"]
