"""The DSN and the settings: a damaged DSN is refused with a message that helps and shows no secret."""

from __future__ import annotations

import base64
import re
import traceback
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sso_common import conf
from sso_common.dsn import NAMESPACE, SITE_NAME, Dsn, parse_dsn
from sso_common.exceptions import InvalidDsn
from sso_common.keys import key_id


def with_id(key: bytes) -> tuple[str, bytes]:
    return key_id(key), key


labels = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join) | st.sampled_from(["127.0.0.1", "[::1]"])
ports = st.none() | st.integers(0, 65535)
origins = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}" + ("" if port is None else f":{port}"),
    st.sampled_from(["http", "https"]),
    hosts,
    ports,
)
redis_urls = st.builds(
    lambda scheme, host, port, database: f"{scheme}://{host}:{port}{database}",
    st.sampled_from(["redis", "rediss", "redis-cluster", "rediss-cluster"]),
    hosts,
    st.integers(1, 65535),
    st.sampled_from(["", "/0", "/15"]),
)
keys32 = st.binary(min_size=32, max_size=32)
dsns = st.builds(
    Dsn,
    portal_url=origins,
    site=st.from_regex(SITE_NAME, fullmatch=True),
    secrets=st.lists(keys32, min_size=1, max_size=3).map(tuple),
    domain=st.lists(labels, min_size=1, max_size=3).map(".".join),
    redis_url=redis_urls,
    public_keys=st.lists(keys32.map(with_id), min_size=1, max_size=3).map(tuple),
    namespace=st.from_regex(NAMESPACE, fullmatch=True),
)

DSN = Dsn(
    portal_url="https://portal.example.com",
    site="site_a",
    secrets=(bytes(range(32)), bytes(range(32, 64))),
    domain="example.com",
    redis_url="redis://redis.internal:6379/0",
    public_keys=(with_id(b"new key".ljust(32, b"-")), with_id(b"old key".ljust(32, b"-"))),
)
TEXT = str(DSN)


def secrets_in(text: str) -> list[str]:
    """The parts of a DSN that must never appear in a log."""
    try:
        dsn = parse_dsn(text)
    except InvalidDsn:
        return []
    return [base64.urlsafe_b64encode(secret).decode().rstrip("=") for secret in dsn.secrets]


@given(dsns)
@example(DSN)
def test_printed_dsn_parses_to_the_same_dsn(dsn: Dsn) -> None:
    assert parse_dsn(str(dsn)) == dsn


@given(st.text(max_size=300) | st.text(alphabet="htps:/@?&=,.[]%#abc0 ", max_size=80))
@example("")
@example("https://[")
@example("https://site_a:x@host:99999/?domain=x")
@example("https://site_a:x@host:port/?domain=x")
@example("https://site_a:x@ho\u2100st/?domain=x")
@example("https://site_a:x@host/?domain=%ff%00&redis=redis%3A%2F%2F%5B")
@example("\ud800")
def test_any_text_is_a_valid_dsn_or_refused(text: str) -> None:
    try:
        dsn = parse_dsn(text)
    except InvalidDsn:
        return

    assert parse_dsn(str(dsn)) == dsn


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str]:
    """A DSN, and what an editor, a terminal or a shell may make of it."""
    text = str(draw(dsns))
    kind = draw(st.sampled_from(["cut", "drop", "insert", "replace", "swap", "double"]))
    position = draw(st.integers(0, len(text) - 1))
    character = draw(st.characters(min_codepoint=1, max_codepoint=300) | st.sampled_from("&?@:/#,%= \n"))
    length = draw(st.integers(1, 12))
    changed = {
        "cut": text[:position],
        "drop": text[:position] + text[position + length :],
        "insert": text[:position] + character + text[position:],
        "replace": text[:position] + character + text[position + 1 :],
        "swap": text[:position] + text[position : position + 2][::-1] + text[position + 2 :],
        "double": text[:position] + text[position : position + length] + text[position:],
    }[kind]
    assume(changed != text)
    return text, changed


@given(mutations())
def test_damaged_dsn_is_refused_or_differs(pair: tuple[str, str]) -> None:
    text, changed = pair
    try:
        parsed = parse_dsn(changed)
    except InvalidDsn:
        return

    if parsed == parse_dsn(text):
        # Another spelling of the same DSN: capitals in scheme and host, %3A for a colon.
        assert normalized(changed) == normalized(text)


def normalized(text: str) -> str:
    return unquote(text).lower().replace("/?", "?").rstrip("&#").replace("&&", "&").replace("?&", "?")


@given(mutations())
def test_refusal_of_a_dsn_shows_no_secret(pair: tuple[str, str]) -> None:
    text, changed = pair
    try:
        parse_dsn(changed)
    except InvalidDsn as error:
        report = "".join(traceback.format_exception(error))
    else:
        return

    for secret in secrets_in(text):
        assert not any(secret[start : start + 8] in report for start in range(len(secret) - 8))


def test_refusal_of_a_dsn_shows_no_redis_password() -> None:
    """An operator writes the Redis address by hand and forgets to encode it."""
    unencoded = TEXT.replace(quote(DSN.redis_url, safe=""), "redis://user:hunter2&hunter3@redis:6379/0")

    with pytest.raises(InvalidDsn) as caught:
        parse_dsn(unencoded)

    assert "hunter" not in "".join(traceback.format_exception(caught.value))


REFUSALS = {
    "nothing": ("", "must start with https://"),
    "another scheme": (TEXT.replace("https://", "ftp://"), "must start with https://"),
    "no scheme": (TEXT.removeprefix("https://"), "must start with https://"),
    "wrapped by a terminal": (TEXT[:90] + "\n" + TEXT[90:], "white space"),
    "a space after it": (TEXT + " ", "white space"),
    "a path": (TEXT.replace("/?", "/portal/?"), "must look like"),
    "a fragment": (TEXT + "#x", "must look like"),
    "no site": (TEXT.replace("site_a:", ":"), "no valid site name"),
    "a site in capitals": (TEXT.replace("site_a:", "Site_A:"), "no valid site name"),
    "no secret": ("https://site_a@portal.example.com/?" + TEXT.partition("?")[2], "wrong length"),
    "half a secret": (TEXT.replace("site_a:AAEC", "site_a:"), "wrong length"),
    "a comma too many": (TEXT.replace("@portal", ",@portal"), "wrong length"),
    "no domain": (TEXT.replace("domain=example.com&", ""), "exactly one domain="),
    "an empty domain": (TEXT.replace("domain=example.com", "domain="), "exactly one domain="),
    "two domains": (TEXT + "&domain=example.com", "exactly one domain="),
    "a domain with a dot in front": (TEXT.replace("domain=", "domain=."), "not a host name"),
    "a domain with a port": (TEXT.replace("example.com&", "example.com:8000&"), "not a host name"),
    "no redis": (TEXT.replace("&redis=", "&ns="), "exactly one redis="),
    "another server": (TEXT.replace("redis%3A", "memcached%3A"), "not a redis://"),
    "no key": (TEXT.partition("&key=")[0], "at least one key="),
    "a key under another's id": (TEXT.replace(DSN.public_keys[0][0], DSN.public_keys[1][0]), "key= is not"),
    "half a key": (TEXT.removesuffix("&ns=sso")[:-4], "key= is not"),
    "a namespace with a colon": (TEXT + ":x", "ns= may contain"),
    "a part of a later version": (TEXT + "&shard=3", "'shard'"),
    "a question mark too many": (TEXT.replace("?domain", "??domain"), "does not know"),
    "no query": (TEXT.partition("?")[0], "exactly one domain="),
}


@pytest.mark.parametrize(("text", "word"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_of_a_dsn_names_the_wrong_part(text: str, word: str) -> None:
    with pytest.raises(InvalidDsn, match=re.escape(word)):
        parse_dsn(text)


def test_repr_of_a_dsn_shows_no_secret() -> None:
    shown = repr(replace(DSN, redis_url="redis://default:hunter2@redis/0"))

    assert "hunter2" not in shown
    assert repr(DSN.secrets[0]) not in shown


def test_newest_secret_is_the_secret_key_and_others_are_fallbacks() -> None:
    newest, older = conf.secret_keys(TEXT)

    assert newest == DSN.site_keys[0].django_secret_key != older == DSN.site_keys[1].django_secret_key


def test_secret_key_without_a_dsn_is_random(monkeypatch) -> None:
    monkeypatch.delenv("SSO_DSN")

    assert len(conf.secret_keys()) == 1
    assert conf.secret_keys() != conf.secret_keys()


def test_redis_login_is_the_sites_user_with_a_derived_password() -> None:
    password = DSN.site_keys[0].redis_password

    assert DSN.redis_login_url == f"redis://sso-site_a:{password}@redis.internal:6379/0"
    assert conf.cache(TEXT)["LOCATION"] == DSN.redis_login_url


def test_redis_login_of_a_cluster_has_a_scheme_of_redis_py() -> None:
    cluster = replace(DSN, redis_url="rediss-cluster://redis.internal:6379")

    assert cluster.is_cluster
    assert cluster.redis_login_url.startswith("rediss://sso-site_a:")


def test_each_namespace_has_its_own_cookie() -> None:
    assert DSN.cookie_name == "__Secure-sso"
    assert replace(DSN, namespace="staging").cookie_name == "__Secure-staging"


def test_changed_dsn_takes_effect_at_once(settings) -> None:
    settings.SSO_DSN = TEXT
    assert conf.dsn().site == "site_a"
    assert conf.dsn().public_keys == DSN.public_keys

    settings.SSO_DSN = str(replace(DSN, site="other"))
    assert conf.dsn().site == "other"


def test_setting_of_the_wrong_type_raises_type_error(settings) -> None:
    settings.SSO_TOUCH_INTERVAL = "60"

    with pytest.raises(TypeError, match="SSO_TOUCH_INTERVAL"):
        conf.touch_interval()


def test_internal_url_is_only_for_requests_between_servers(settings) -> None:
    settings.SSO_DSN = TEXT
    assert conf.portal_internal_url() == conf.dsn().portal_url == "https://portal.example.com"

    settings.SSO_PORTAL_INTERNAL_URL = "http://127.0.0.1:8000/"
    assert conf.portal_internal_url() == "http://127.0.0.1:8000"
    assert conf.dsn().portal_url == "https://portal.example.com"
