"""Attacks on a site, from outside: each test is named as one, and none may succeed."""

from __future__ import annotations

import base64
import html
import logging
import re
import string
from dataclasses import replace
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from sso_common import conf, store, testing
from sso_common.keys import derive, key_id
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken, mint_token
from tests.sso_common.tools import (
    anonymous_name,
    end,
    has_identity,
    issue,
    names_in_redis,
    record_name,
    site_name,
    token_of,
    without_cookies,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

COOKIE = "__Host-session"
HOP = "/sso/login/"


@pytest.fixture
def victim(valkey) -> SessionToken:
    """Anna is signed in, and has something to lose."""
    token = issue("anna", roles=["staff"])
    session = SessionStore(token=token)
    session["private"] = "of anna"
    session.save()
    return token


def _presenting(value: str) -> Client:
    client = Client()
    client.cookies[conf.cookie_name()] = value
    return client


def _with_header(header: str) -> Client:
    """A browser whose Cookie header is exactly this."""
    return Client(headers={"cookie": header})


def _gets_nothing(client: Client) -> None:
    """Whoever this is: not signed in, sees nothing, changes nothing, and the site sets no SSO cookie."""
    assert client.get("/user/").content == b"nobody"
    assert client.get("/identity/").json() == {}
    assert client.get("/show/").json() == {}
    assert client.get("/private/").status_code == 302
    assert client.get("/admin/").status_code == 302
    assert conf.cookie_name() not in client.get("/flush/").cookies
    assert not User.objects.exists()


# --- tokens ------------------------------------------------------------------------------------------


def _other_bits_in_the_last_character(value: str) -> str:
    """Non-canonical base64: another last character that decodes to the same bytes."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    last = alphabet[alphabet.index(value[-1]) + 1]
    assert base64.urlsafe_b64decode(value[23:] + "=") == base64.urlsafe_b64decode(value[23:-1] + last + "=")
    return value[:-1] + last


RE_ENCODINGS = {
    "truncated": lambda value: value[:-1],
    "truncated secret": lambda value: value[:30],
    "only the sid": lambda value: value[:22],
    "empty": lambda value: "",
    "oversized": lambda value: value + "A" * 4000,
    "oversized by one": lambda value: value + "A",
    "re-encoded with other spare bits": _other_bits_in_the_last_character,
    "re-encoded with padding": lambda value: value + "=",
    "re-encoded in capitals": str.upper,
    "re-encoded by percent": lambda value: value.replace(".", "%2E"),
    "re-encoded in the standard alphabet": lambda value: value.replace("-", "+").replace("_", "/") + "/",
    "re-encoded in full-width digits": lambda value: value[:-1] + "\uff10".encode().decode("latin-1"),
    "with a line feed after it": lambda value: value + "\\012",
    "with two dots": lambda value: value + ".x",
    "with the secret first": lambda value: value[23:] + "." + value[:22],
}


@pytest.mark.parametrize("change", RE_ENCODINGS.values(), ids=RE_ENCODINGS)
def test_a_token_that_was_truncated_enlarged_or_encoded_otherwise(victim: SessionToken, change) -> None:
    _gets_nothing(_presenting(change(victim.value)))
    assert has_identity(victim)


def test_a_forged_token_with_a_sid_that_leaked_into_a_log(victim: SessionToken, caplog) -> None:
    forged = SessionToken(sid=victim.sid, secret=mint_token().secret)

    _gets_nothing(_presenting(forged.value))

    assert "secret does not open" in caplog.text
    assert SessionStore(token=victim)["private"] == "of anna"


def test_a_forged_token_with_the_binding_from_a_dump_of_redis(victim: SessionToken) -> None:
    _gets_nothing(_presenting(f"{victim.sid}.{victim.bind}"))


def test_a_token_that_nobody_issued(victim: SessionToken) -> None:
    before = names_in_redis()

    _gets_nothing(_presenting(mint_token().value))

    assert names_in_redis() == before


def test_half_of_ones_own_token_and_half_of_another_sessions(victim: SessionToken) -> None:
    own = issue("mallory")

    _gets_nothing(_presenting(f"{victim.sid}.{own.secret}"))
    _gets_nothing(_presenting(f"{own.sid}.{victim.secret}"))


def test_whoever_holds_a_wrong_secret_cannot_sign_the_victim_out(victim: SessionToken) -> None:
    attacker = _presenting(f"{victim.sid}.{mint_token().secret}")

    attacker.post("/sso/logout/")
    attacker.get("/sign-out/")
    attacker.get("/flush/")

    assert has_identity(victim)
    assert SessionStore(token=victim)["private"] == "of anna"


def test_the_name_of_a_session_as_an_anonymous_key(victim: SessionToken) -> None:
    """``session_key`` of a signed-in session is no secret: it must open nothing."""
    attacker = Client()
    attacker.cookies[COOKIE] = victim.sid

    _gets_nothing(attacker)


@pytest.mark.parametrize("key", ["{x}:identity", "*", "sso-test:{x}:identity", "a" * 4096, "..%2f..%2f"])
def test_an_anonymous_key_that_names_something_else_in_redis(victim: SessionToken, key: str) -> None:
    attacker = Client()
    attacker.cookies[COOKIE] = key.replace("x", victim.sid)

    attacker.get("/put/?a=1")
    attacker.get("/flush/")

    assert has_identity(victim)
    assert SessionStore(token=victim)["private"] == "of anna"


# --- records -----------------------------------------------------------------------------------------
# Each of these has got past the Redis ACL already: the signature alone has to hold.


def _claims_of(token: SessionToken, **changes):
    return replace(testing.make_identity(token, "admin", roles=["staff"]), **changes)


def test_a_record_copied_from_another_session(victim: SessionToken) -> None:
    own = mint_token()
    testing.store_record(own.sid, store.client().get(record_name(victim)))

    _gets_nothing(_presenting(own.value))


def test_a_record_copied_from_another_session_with_its_sid_in_the_token(victim: SessionToken) -> None:
    own = issue("mallory")
    store.client().copy(record_name(own), record_name(victim), replace=True)

    _gets_nothing(_presenting(victim.value))


def test_a_record_signed_with_a_sites_key(settings) -> None:
    """A compromised site compromises itself: none of its keys signs for the portal."""
    own = mint_token()
    keys = conf.dsn().site_keys[0]
    for seed in (
        keys.secret,
        keys.request_key,
        derive(keys.secret, "identity"),
        derive(keys.secret, "ed25519"),
    ):
        record = testing.sign_record(_claims_of(own), Ed25519PrivateKey.from_private_bytes(seed))
        testing.store_record(own.sid, record)
        _gets_nothing(_presenting(own.value))


def test_a_record_signed_with_an_unknown_key() -> None:
    own = mint_token()
    testing.store_record(own.sid, testing.sign_record(_claims_of(own), Ed25519PrivateKey.generate()))

    _gets_nothing(_presenting(own.value))


def test_a_record_signed_with_an_unknown_key_under_the_portals_key_id() -> None:
    own, stranger = mint_token(), Ed25519PrivateKey.generate()
    record = testing.sign_record(_claims_of(own), stranger)
    kid = key_id(stranger.public_key().public_bytes_raw()).encode()
    testing.store_record(own.sid, record.replace(kid, testing.PUBLIC_KEY[0].encode()))

    _gets_nothing(_presenting(own.value))


def test_a_record_signed_with_a_retired_key(settings) -> None:
    own, retired, new = mint_token(), Ed25519PrivateKey.generate(), testing.PUBLIC_KEY
    raw = retired.public_key().public_bytes_raw()
    settings.SSO_DSN = str(replace(conf.dsn(), public_keys=(new, (key_id(raw), raw))))
    testing.store_record(own.sid, testing.sign_record(_claims_of(own), retired))
    assert _presenting(own.value).get("/identity/").json() != {}

    settings.SSO_DSN = str(replace(conf.dsn(), public_keys=(new,)))

    _gets_nothing(_presenting(own.value))


def test_the_public_key_as_the_key_of_a_symmetric_signature() -> None:
    """The classic of JWT: a verifier that lets the record choose the algorithm."""
    from itsdangerous import Signer

    from sso_common.identity import encode_payload

    own = mint_token()
    payload = encode_payload(_claims_of(own), testing.PUBLIC_KEY[0])
    for derivation in ("none", "django-concat"):
        signer = Signer(testing.PUBLIC_KEY[1], salt=b"", sep=b".", key_derivation=derivation)
        testing.store_record(own.sid, signer.sign(payload))
        _gets_nothing(_presenting(own.value))


@pytest.mark.parametrize("signature", [b"", b"A" * 86, b"none", b"."])
def test_a_record_without_a_signature(signature: bytes) -> None:
    own = mint_token()
    payload = testing.sign_record(_claims_of(own)).rpartition(b".")[0]
    testing.store_record(own.sid, payload + b"." + signature)

    _gets_nothing(_presenting(own.value))


def test_a_record_whose_roles_were_changed(victim: SessionToken) -> None:
    parts = store.client().get(record_name(victim)).split(b".")
    body = base64.urlsafe_b64decode(parts[2] + b"==").replace(b'"staff"', b'"admin"')
    parts[2] = base64.urlsafe_b64encode(body).rstrip(b"=")
    testing.store_record(victim.sid, b".".join(parts))

    _gets_nothing(_presenting(victim.value))


def test_a_value_of_another_type_in_the_records_place(victim: SessionToken) -> None:
    store.client().unlink(record_name(victim))
    store.client().hset(record_name(victim), "a", "1")

    response = _presenting(victim.value).get("/user/")

    assert response.status_code == 503
    assert without_cookies(response)


def test_a_flood_of_forged_records_does_not_push_out_the_verified_ones(victim: SessionToken) -> None:
    from sso_common.identity import verify_record

    _presenting(victim.value).get("/identity/")
    before = verify_record.cache_info().currsize
    own = mint_token()
    for number in range(50):
        testing.store_record(own.sid, b"sso1.%s.x.y%d" % (testing.PUBLIC_KEY[0].encode(), number))
        _presenting(own.value).get("/identity/")

    assert verify_record.cache_info().currsize == before


# --- cookies tossed by a sibling host ----------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1], ids=["the victim's first", "the attacker's first"])
def test_two_sso_cookies_at_once(victim: SessionToken, order: int, caplog) -> None:
    caplog.set_level(logging.WARNING, logger="django.security.sso")
    name, attacker = conf.cookie_name(), issue("mallory")
    values = [victim.value, attacker.value][::order]

    client = _with_header("; ".join(f"{name}={value}" for value in values))

    assert client.get("/user/").content == b"nobody"
    assert "two different SSO cookies" in caplog.text
    assert without_cookies(client.get("/put/?a=1")) is False  # an anonymous session of its own
    assert dict(SessionStore(token=victim).items()) == {"private": "of anna"}
    assert dict(SessionStore(token=attacker).items()) == {}


@pytest.mark.parametrize(
    "template",
    [
        "{n}={a}; x=y; {n}={b}",
        "{n}={a};{n}={b}",
        "{n}={a} ; {n} ={b}",
        "{n}={b}; {n}={a}; {n}={b}",
        "{n}={a}; {n}=",
        "{n}={a}; {n}=x",
        '{n}={a}; {n}="{b}"',
    ],
)
def test_two_sso_cookies_in_any_spelling(victim: SessionToken, template: str) -> None:
    header = template.format(n=conf.cookie_name(), a=victim.value, b=issue("mallory").value)

    assert _with_header(header).get("/user/").content == b"nobody"


def test_the_same_sso_cookie_twice_is_no_attack(victim: SessionToken) -> None:
    name = conf.cookie_name()

    assert _with_header(f"{name}={victim.value}; {name}={victim.value}").get("/user/").content == b"anna"


@pytest.mark.parametrize(
    "name", ["__secure-sso-test", "__Secure-sso", "X__Secure-sso-test", "__Secure-sso-test "]
)
def test_a_cookie_with_a_name_that_looks_alike(victim: SessionToken, name: str) -> None:
    client = _with_header(f"{name}x={victim.value}; {name.lower()}={victim.value}")

    assert client.get("/user/").content == b"nobody"


# --- session fixation --------------------------------------------------------------------------------


def _planted(**data) -> str:
    """An anonymous session that the attacker made at this site, to be put into the victim's browser."""
    session = SessionStore()
    session.update(data)
    session.save()
    return session.session_key


def _victim_with(key: str) -> tuple[Client, SessionToken]:
    client = Client()
    client.cookies[COOKIE] = key
    testing.sign_in(client, "anna")
    return client, token_of(client)


def test_fixation_by_a_planted_local_login(victim: SessionToken) -> None:
    attacker = Client()
    attacker.force_login(User.objects.create_user("mallory"))

    client, _token = _victim_with(attacker.cookies[COOKIE].value)

    assert client.get("/user/").content == b"anna"
    assert client.get("/user/").content == b"anna"


def test_fixation_by_a_planted_csrf_secret(settings) -> None:
    settings.CSRF_USE_SESSIONS = True
    secret = "a" * 32
    client, token = _victim_with(_planted(_csrftoken=secret))
    client.handler.enforce_csrf_checks = True

    client.get("/csrf/")
    response = client.post("/sso/logout/", headers={"x-csrftoken": secret})

    assert response.status_code == 403
    assert has_identity(token)
    assert SessionStore(token=token)["_csrftoken"] != secret


def test_fixation_by_a_planted_expiry() -> None:
    client, token = _victim_with(_planted(_session_expiry=60))

    client.get("/user/")

    assert "_session_expiry" not in SessionStore(token=token)


def test_fixation_by_a_key_that_was_never_issued(client: Client) -> None:
    planted = "planted" * 5
    client.cookies[COOKIE] = planted

    client.get("/put/?cart=mug")

    assert client.cookies[COOKIE].value != planted
    assert not store.client().exists(anonymous_name(planted))


def test_fixation_by_a_key_that_the_attacker_keeps() -> None:
    """What the victim does after signing in is never seen under the planted key."""
    key = _planted(cart=["bait"])
    client, _token = _victim_with(key)
    client.get("/put/?card=4111")

    attacker = Client()
    attacker.cookies[COOKIE] = key

    assert attacker.get("/show/").json() == {}


def test_fixation_by_a_local_login_that_keeps_the_key(client: Client) -> None:
    User.objects.create_user("operator")
    key = _planted(bait=1)
    client.cookies[COOKIE] = key

    client.get("/local-login/?username=operator")

    attacker = Client()
    attacker.cookies[COOKIE] = key
    assert attacker.get("/user/").content == b"nobody"


def test_fixation_by_signing_the_victim_in_as_the_attacker_leaves_the_local_login_out() -> None:
    """Login CSRF: the victim's anonymous data goes where the sign-in leads, but no local rights do."""
    operator = User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")
    client = Client()
    client.force_login(operator)
    testing.sign_in(client, "mallory")

    assert client.get("/user/").content == b"mallory"
    assert client.get("/admin/").status_code == 403


# --- forged requests ---------------------------------------------------------------------------------


def test_csrf_on_sign_out(victim: SessionToken) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[conf.cookie_name()] = victim.value

    assert client.post("/sso/logout/").status_code == 403
    assert client.post("/sso/logout/", {"csrfmiddlewaretoken": "x" * 64}).status_code == 403
    assert client.post("/sso/logout/", headers={"accept": "application/json"}).status_code == 403
    assert has_identity(victim)


def test_csrf_on_sign_out_at_a_site_that_forgot_the_csrf_middleware(victim: SessionToken, settings) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "Csrf" not in each]
    client = Client(enforce_csrf_checks=True)
    client.cookies[conf.cookie_name()] = victim.value

    assert client.post("/sso/logout/").status_code == 403
    assert has_identity(victim)


def test_sign_out_with_the_sites_own_token_works(victim: SessionToken) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[conf.cookie_name()] = victim.value
    token = client.get("/csrf/").text

    assert client.post("/sso/logout/", {"csrfmiddlewaretoken": token}).status_code == 303
    assert not has_identity(victim)


def test_csrf_on_sign_out_from_a_sibling_site(victim: SessionToken) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[conf.cookie_name()] = victim.value
    token = client.get("/csrf/", secure=True).text

    response = client.post(
        "/sso/logout/",
        {"csrfmiddlewaretoken": token},
        secure=True,
        headers={"origin": "https://sibling.testserver", "referer": "https://sibling.testserver/"},
    )

    assert response.status_code == 403
    assert has_identity(victim)


def test_sign_out_by_a_link_or_an_image(victim: SessionToken) -> None:
    client = _presenting(victim.value)

    assert client.get("/sso/logout/").status_code == 405
    assert has_identity(victim)


# --- open redirects ----------------------------------------------------------------------------------

TARGETS = {
    "another site": "https://evil.example/",
    "another site over http": "http://evil.example/",
    "without a scheme": "//evil.example/",
    "without a scheme, and a path": "//evil.example/%2e%2e",
    "three slashes": "///evil.example/",
    "four slashes": "////evil.example/",
    "backslashes": "\\\\evil.example/",
    "slash and backslash": "/\\evil.example/",
    "backslash and slash": "\\/evil.example/",
    "scheme and backslashes": "https:\\\\evil.example/",
    "scheme and one slash": "https:/evil.example/",
    "scheme and no slash": "https:evil.example/",
    "scheme and three slashes": "https:///evil.example/",
    "userinfo": "https://testserver@evil.example/",
    "userinfo with a password": "http://testserver:80@evil.example/",
    "userinfo and a backslash": "http://testserver\\@evil.example/",
    "own host as userinfo, scheme-relative": "//testserver@evil.example/",
    "userinfo before the own host": "http://evil.example@testserver:8443/",
    "a tab inside": "/\t/evil.example/",
    "a tab in the scheme": "ht\ttps://evil.example/",
    "a line feed inside": "/\n/evil.example/",
    "a carriage return and a header": "/\r\nLocation: https://evil.example/",
    "a space before it": " https://evil.example/",
    "a space before two slashes": " //evil.example/",
    "a control character before it": "\x01//evil.example/",
    "a NUL before it": "\x00//evil.example/",
    "a byte order mark before it": "\ufeff//evil.example/",
    "a no-break space before it": "\u00a0//evil.example/",
    "an ideographic full stop": "//evil\u3002example/",
    "a full-width solidus": "/\uff0fevil.example/",
    "a full-width own host": "http://\uff54estserver/",
    "a division slash": "http://testserver\u2215.evil.example/",
    "another port": "http://testserver:8443/",
    "another port, scheme-relative": "//testserver:8443/",
    "a suffix that looks alike": "http://testserver.evil.example/",
    "a prefix that looks alike": "http://eviltestserver/",
    "a sibling": "http://b.testserver/",
    "a parent with a dot after it": "http://testserver./",
    "javascript": "javascript:alert(1)",
    "javascript in capitals": "JaVaScRiPt:alert(1)",
    "javascript with a tab": "java\tscript:alert(1)",
    "javascript with slashes": "javascript://testserver/%0aalert(1)",
    "data": "data:text/html,<script>alert(1)</script>",
    "a file": "file:///etc/passwd",
    "another protocol": "ftp://testserver/",
    "an IPv6 address that is none": "http://[::1",
    "percent-encoded slashes": "https:%2f%2fevil.example/",
    "empty host": "http:///",
    "a fragment that hides": "//evil.example#@testserver/",
    "a query that hides": "//evil.example?@testserver/",
}


def _lands_on(base: str, location: str) -> tuple[str, str]:
    """Where a browser would go: like Python's rules, and with the browser's own leniency."""
    cleaned = location.strip(" \x00\x01\x02\x0b\x0c\x1f").translate({9: None, 10: None, 13: None})
    head, mark, tail = cleaned.partition("?")
    target = urlsplit(urljoin(base, head.replace("\\", "/") + mark + tail))
    return target.scheme, target.netloc


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_open_redirect_of_a_signed_in_visitor(victim: SessionToken, target: str) -> None:
    response = _presenting(victim.value).get(HOP, {"next": target})

    assert response.status_code == 302
    location = response["Location"]
    assert _lands_on("http://testserver/sso/login/", location) == ("http", "testserver")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_open_redirect_by_way_of_the_portal(client: Client, target: str) -> None:
    """What comes back from the portal is this site's own address, whose ``next`` is at this site."""
    location = client.get(HOP, {"next": target})["Location"]

    assert location.startswith(
        f"{conf.portal_url()}/sso/v1/enter?next=http%3A%2F%2Ftestserver%2Fsso%2Flogin%2F"
    )
    (back,) = parse_qs(urlsplit(location).query)["next"]
    assert (urlsplit(back).scheme, urlsplit(back).netloc) == ("http", "testserver")
    (inner,) = parse_qs(urlsplit(back).query)["next"]
    assert _lands_on("http://testserver/sso/login/", inner) == ("http", "testserver")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_open_redirect_on_the_page_with_the_reason(client: Client, target: str) -> None:
    response = client.get(HOP, {"next": target, "returned": "1"})

    assert response.status_code == 403
    again, portal = (html.unescape(address) for address in re.findall('href="([^"]*)"', response.text))
    assert portal == f"{conf.portal_url()}/"
    assert again.startswith("/sso/login/?next=")
    (inner,) = parse_qs(urlsplit(again).query)["next"]
    assert _lands_on("http://testserver/sso/login/", inner) == ("http", "testserver")


def test_open_redirect_from_https_to_http(victim: SessionToken) -> None:
    response = _presenting(victim.value).get(HOP, {"next": "http://testserver/private/"}, secure=True)

    assert response["Location"] == "/"


def test_open_redirect_by_a_second_next(victim: SessionToken) -> None:
    response = _presenting(victim.value).get(f"{HOP}?next=/private/&next=https://evil.example/")

    assert response["Location"] == "/"


def test_open_redirect_by_the_host_header(client: Client) -> None:
    for header in ("evil.example", "testserver@evil.example", "testserver:80@evil.example", "a b"):
        assert client.get(HOP, headers={"host": header}).status_code == 400


def test_open_redirect_after_signing_out(victim: SessionToken) -> None:
    response = _presenting(victim.value).post(
        "/sso/logout/?next=https://evil.example/", {"next": "//evil.example"}
    )

    assert "evil.example" not in response["Location"]


@given(target=st.text(alphabet="/\\:@.?#%\t\n\r \x00\u3002\uff0fehtpsvil0testserver", max_size=30))
@settings(max_examples=300)
def test_open_redirect_by_anything_that_a_machine_can_think_of(client: Client, target: str) -> None:
    location = client.get(HOP, {"next": target})["Location"]

    (back,) = parse_qs(urlsplit(location).query)["next"]
    (inner,) = parse_qs(urlsplit(back).query, keep_blank_values=True)["next"]
    assert _lands_on("http://testserver/sso/login/", inner) == ("http", "testserver")


# --- pages ---------------------------------------------------------------------------------------------


def test_markup_in_the_destination_is_shown_as_text(client: Client) -> None:
    response = client.get(HOP, {"next": '/"><script>alert(1)</script>', "returned": "1"})

    assert "<script>alert" not in response.text


def test_quotes_in_the_host_do_not_break_out_of_the_challenge(client: Client, settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]

    for host in ('testserver", evil="', "testserver\r\nSet-Cookie: a=b"):
        response = client.get("/private/", headers={"host": host, "accept": "application/json"})
        assert response.status_code == 400


def test_the_session_of_who_signed_out_is_not_found_by_who_signs_in_next(victim: SessionToken) -> None:
    """A shared computer: the cookie jar is the same, the people are not."""
    client = _presenting(victim.value)
    client.post("/sso/logout/")
    testing.sign_in(client, "bert")

    assert client.get("/show/").json() == {}
    assert not store.client().exists(site_name(victim))


def test_a_replayed_cookie_after_signing_out(victim: SessionToken) -> None:
    end(victim)

    _gets_nothing(_presenting(victim.value))
