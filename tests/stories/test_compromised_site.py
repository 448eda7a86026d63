"""A compromised site compromises only itself: its keys give no access to site B or to the portal.

What remains is its visitors: each of them sends it a cookie that is valid at every site.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from sso_common.dsn import Dsn, parse_dsn
from sso_common.identity import encode_payload, verify_record
from sso_common.keys import key_id
from sso_common.tokens import mint_token
from tests.stories.people import Person, Visitor
from tests.stories.test_cart import put_into_cart
from tests.stories.topology import Answer, StoryTopology

#: Redis's message for a command, and for a command inside a script.
REFUSED = r"(?i)no permissions|NOPERM|ACL failure"


@pytest.fixture
def stolen(topology: StoryTopology) -> Dsn:
    """All secrets of site A, and the portal's public keys."""
    return parse_dsn(topology.dsns["site_a"])


@pytest.fixture
def inside(stolen: Dsn) -> Iterator[redis.Redis]:
    """Redis, with the credentials of site A's DSN."""
    with redis.Redis.from_url(stolen.redis_login_url, decode_responses=True) as client:
        yield client


def test_attack_site_a_cannot_read_or_change_the_data_of_site_b(
    visitor: Visitor, new_person: Callable[..., Person], inside: redis.Redis
) -> None:
    put_into_cart(visitor, 1)
    anonymous = next(visitor.topology.redis.scan_iter("story:anon:site_b:*"))
    visitor.sign_in(new_person())
    put_into_cart(visitor, 1)
    cart = f"story:{{{visitor.sid}}}:site:site_b"
    before = visitor.topology.redis.hgetall(cart)

    attempts = [
        ("HGETALL", cart),
        ("HGETALL", anonymous),
        ("EXISTS", anonymous),
        ("HSET", cart, "cart:desk-plant", "99"),
        ("UNLINK", cart),
        ("PEXPIRE", cart, "1"),
        ("EVAL", "return redis.call('HGETALL', ARGV[1])", "0", cart),
        ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", cart),
    ]
    for attempt in attempts:
        with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
            inside.execute_command(*attempt)

    assert before
    assert visitor.topology.redis.hgetall(cart) == before


def test_attack_site_a_can_read_identity_records_and_cannot_write_them(
    visitor: Visitor, new_person: Callable[..., Person], inside: redis.Redis
) -> None:
    visitor.sign_in(new_person())
    identity = f"story:{{{visitor.sid}}}:identity"
    record = inside.get(identity)

    attempts = [
        ("SET", identity, "x"),
        ("SET", "story:{made-up}:identity", record),
        ("COPY", identity, "story:{made-up}:identity"),
        ("RENAME", identity, "story:{made-up}:identity"),
        ("RESTORE", "story:{made-up}:identity", "0", "x"),
        ("GETSET", identity, "x"),
        ("APPEND", identity, "x"),
        ("PERSIST", identity),
        ("EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", identity),
        ("EVAL", "return redis.call('SET', ARGV[1], 'x')", "0", identity),
    ]
    for attempt in attempts:
        with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
            inside.execute_command(*attempt)

    assert record
    assert visitor.topology.redis.get(identity) == record


def test_attack_site_a_cannot_list_keys_or_administer_redis(
    topology: StoryTopology, inside: redis.Redis
) -> None:
    attempts: list[tuple[str, ...]] = [
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("RANDOMKEY",),
        ("MONITOR",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", "story-site_a", "~*", "+@all"),
        ("FLUSHALL",),
        ("SHUTDOWN",),
        ("CLIENT", "LIST"),
        ("FUNCTION", "LIST"),
        ("SUBSCRIBE", "*"),
        ("XTRIM", "story:events", "MAXLEN", "0"),
        ("ZRANGE", "story:user:x", "0", "-1"),
    ]
    for attempt in attempts:
        with pytest.raises(redis.exceptions.NoPermissionError):
            inside.execute_command(*attempt)

    assert topology.redis.ping()


def test_attack_the_cookie_that_site_a_receives_opens_nothing_at_the_portal(
    visitor: Visitor, new_person: Callable[..., Person]
) -> None:
    mia = new_person("Mia")
    visitor.sign_in(mia)
    received = visitor.cookies_for("site_a")
    assert visitor.sso_cookie_name in received
    assert "__Host-portal" not in received

    answers = [
        visitor.topology.get("portal", path, cookies=received)
        for path in ("/", "/account/", "/accounts/email/", "/sso/v1/enter", "/accounts/login/", "/admin/")
    ]

    assert [answer.status for answer in answers] == [200, 302, 302, 302, 302, 302]
    assert not any(mia.name in answer.body or "__Host-portal" in str(answer.headers) for answer in answers)


def test_attack_no_part_accepts_a_record_that_site_a_has_signed(
    visitor: Visitor, new_person: Callable[..., Person], stolen: Dsn
) -> None:
    """Not even if the site could store it: here the operator does."""
    mia = new_person("Mia")
    visitor.sign_in(mia)
    real = str(visitor.topology.redis.get(f"story:{{{visitor.sid}}}:identity")).encode()
    token, key = mint_token(), Ed25519PrivateKey.generate()
    forged = replace(verify_record(real, stolen.public_keys), sid=token.sid, bind=token.bind)
    known_kid = stolen.public_keys[0][0]
    visitor.sign_out("portal")

    for kid in (known_kid, key_id(key.public_key().public_bytes_raw())):
        payload = encode_payload(forged, kid)
        record = payload + b"." + base64_encode(key.sign(payload))
        visitor.topology.redis.set(f"story:{{{token.sid}}}:identity", record, ex=60)
        visitor.page.context.add_cookies(
            [
                {
                    "name": visitor.sso_cookie_name,
                    "value": token.value,
                    "domain": ".sso.localhost",
                    "path": "/",
                    "secure": True,
                }
            ]
        )
        assert visitor.signed_in_at() == set()


def test_attack_site_a_reads_the_feed_only_under_its_own_name(topology: StoryTopology, stolen: Dsn) -> None:
    own = ask_feed(topology, "site_a", stolen)
    in_the_name_of_b = ask_feed(topology, "site_b", stolen)
    in_the_name_of_the_portal = ask_feed(topology, "portal", stolen)

    assert (own.status, "users" in json.loads(own.body)) == (200, True)
    for answer in (in_the_name_of_b, in_the_name_of_the_portal):
        assert answer.status == 401
        assert "users" not in answer.body


def test_attack_a_recorded_feed_request_cannot_be_replayed(topology: StoryTopology, stolen: Dsn) -> None:
    header = authorization("site_a", stolen, "/sso/v1/users?after=0&limit=1")
    first, second = (
        topology.get("portal", "/sso/v1/users?after=0&limit=1", headers={"Authorization": header})
        for _ in range(2)
    )
    other = topology.get("portal", "/sso/v1/users?after=0&limit=1000", headers={"Authorization": header})

    assert (first.status, second.status, other.status) == (200, 401, 401)
    assert json.loads(second.body)["error"] == "replayed"


def authorization(site: str, stolen: Dsn, path: str) -> str:
    """Sign a request with site A's key, under the name of any site."""
    serializer = URLSafeTimedSerializer(
        stolen.site_keys[0].request_key, salt="sso.request", signer_kwargs={"digest_method": hashlib.sha256}
    )
    return f"SSO {site}:{serializer.dumps({'m': 'GET', 'p': path, 'n': secrets.token_hex(16)})}"


def ask_feed(topology: StoryTopology, site: str, stolen: Dsn) -> Answer:
    path = "/sso/v1/users?after=0&limit=10"
    return topology.get("portal", path, headers={"Authorization": authorization(site, stolen, path)})
