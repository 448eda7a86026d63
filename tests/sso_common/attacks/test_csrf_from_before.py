"""CSRF tokens from before a sign-in: an attacker who has used the browser, or planted a cookie, knows one."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.middleware import csrf as django_csrf
from django.test import AsyncClient, Client

from sso_common import conf, csrf, testing
from sso_common.tokens import mint_token
from tests.sso_common.tools import counted_trips, end, token_of

COOKIE = "csrftoken"
MIDDLEWARE = "django.middleware.csrf.CsrfViewMiddleware"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client() -> Client:
    """A browser, at a site that checks CSRF tokens."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture(params=["cookie", "session"])
def store(request: pytest.FixtureRequest, settings: Any) -> str:
    """Where the site keeps the CSRF secret."""
    settings.CSRF_USE_SESSIONS = request.param == "session"
    return request.param


def send(client: Client, token: str) -> bool:
    """Whether the site accepts a form with a CSRF token."""
    response = client.post("/user/", {"csrfmiddlewaretoken": token})
    assert response.status_code in {200, 403}
    return response.status_code == 200


@pytest.mark.parametrize("cart", [True, False])
@pytest.mark.parametrize("page", ["", "/", "/user/", "/csrf/"], ids=["none", "static", "user", "form"])
def test_attack_token_from_before_the_sign_in_is_refused(
    client: Client, store: str, cart: bool, page: str
) -> None:
    if cart:
        client.get("/put/?cart=mug")
    known = client.get("/csrf/").text
    assert send(client, known)
    testing.sign_in(client, "anna")
    if page:
        client.get(page)

    assert not send(client, known)
    assert not send(client, known)


@pytest.mark.parametrize("cart", [True, False])
async def test_attack_token_from_before_the_sign_in_is_refused_async(store: str, cart: bool) -> None:
    client = AsyncClient(enforce_csrf_checks=True)
    if cart:
        await client.get("/async/put/?cart=mug")
    known = {"csrfmiddlewaretoken": (await client.get("/csrf/")).content.decode()}
    assert (await client.post("/async/user/", known)).status_code == 200
    await sync_to_async(testing.sign_in)(client, "anna")

    assert (await client.post("/async/user/", known)).status_code == 403
    await client.get("/async/user/")
    assert (await client.post("/async/user/", known)).status_code == 403

    new = {"csrfmiddlewaretoken": (await client.get("/csrf/")).content.decode()}
    assert (await client.post("/async/user/", new)).content == b"anna"


def test_attack_token_of_the_user_before_is_refused(client: Client, store: str) -> None:
    testing.sign_in(client, "mallory")
    known = client.get("/csrf/").text
    assert send(client, known)

    testing.sign_in(client, "anna")

    assert not send(client, known)


@pytest.mark.parametrize("made_of", ["a secret", "a token", "a cookie of the attacker's session"])
def test_attack_cookie_that_a_sibling_plants_after_the_sign_in_is_refused(
    client: Client, made_of: str
) -> None:
    secret = "a" * 32
    testing.sign_in(client, "anna")
    client.get("/csrf/")
    planted = {
        "a secret": secret,
        "a token": secret + csrf.shift(secret, secret, 1),
        "a cookie of the attacker's session": csrf.bound(secret, mint_token()),
    }

    client.cookies[COOKIE] = planted[made_of]

    assert not send(client, secret)


def test_attack_cookie_for_a_sid_from_a_log_is_refused(client: Client) -> None:
    """The attacker asks the site for a cookie, with the victim's sid and a secret of their own."""
    testing.sign_in(client, "anna")
    attacker = Client(enforce_csrf_checks=True)
    attacker.cookies[conf.dsn().cookie_name] = f"{token_of(client).sid}.{mint_token().secret}"
    known = attacker.get("/csrf/").text

    client.cookies[COOKIE] = attacker.cookies[COOKIE].value

    assert not send(client, known)


def test_attack_token_of_the_user_of_the_portal_is_refused_after_a_local_login(
    client: Client, store: str
) -> None:
    User.objects.create_user("eve")
    testing.sign_in(client, "ben")
    known = client.get("/csrf/").text

    client.get("/local-login/?username=eve")

    assert client.get("/user/").content == b"eve"
    assert not send(client, known)
    assert send(client, client.get("/csrf/").text)


@pytest.mark.parametrize("how", ["deactivated", "flush"])
def test_attack_token_of_a_local_user_is_refused_for_the_user_of_the_portal(
    client: Client, store: str, how: str
) -> None:
    eve = User.objects.create_user("eve")
    testing.sign_in(client, "ben")
    client.get("/local-login/?username=eve")
    known = client.get("/csrf/").text
    assert send(client, known)

    if how == "flush":
        client.get("/flush/")
    else:
        User.objects.filter(pk=eve.pk).update(is_active=False)
    assert client.get("/user/").content == b"ben"

    assert not send(client, known)
    assert send(client, client.get("/csrf/").text)


def test_attack_form_of_a_local_user_is_sent_as_the_user_of_the_portal(client: Client, store: str) -> None:
    """The local login has ended while the form was open."""
    eve = User.objects.create_user("eve")
    testing.sign_in(client, "ben")
    client.get("/local-login/?username=eve")
    form = {"csrfmiddlewaretoken": client.get("/csrf/").text}
    User.objects.filter(pk=eve.pk).update(is_active=False)

    assert client.post("/user/", form).content == b"nobody"

    assert client.get("/user/").content == b"ben"
    assert client.post("/user/", form).status_code == 403


def test_attack_planted_cookie_gives_a_local_login_no_secret_known_from_before(client: Client) -> None:
    """Ben finds out what the site puts in place of a planted cookie, then an operator logs in."""
    User.objects.create_user("eve")
    testing.sign_in(client, "ben")
    client.cookies[COOKIE] = "planted"
    known = client.get("/csrf/").text
    client.get("/local-login/?username=eve")

    client.cookies[COOKIE] = "planted"

    assert not send(client, known)


def test_attack_token_is_refused_where_the_site_checks_it_in_single_views(client: Client, settings) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != MIDDLEWARE]
    known = client.get("/csrf/protected/").text
    assert client.post("/csrf/protected/", {"csrfmiddlewaretoken": known}).status_code == 200

    testing.sign_in(client, "anna")

    assert client.post("/csrf/protected/", {"csrfmiddlewaretoken": known}).status_code == 403
    new = client.get("/csrf/protected/").text
    assert client.post("/csrf/protected/", {"csrfmiddlewaretoken": new}).status_code == 200


def test_attack_token_is_refused_where_djangos_middleware_comes_first(client: Client, settings) -> None:
    settings.MIDDLEWARE = [MIDDLEWARE, *(each for each in settings.MIDDLEWARE if each != MIDDLEWARE)]
    known = client.get("/csrf/").text
    assert send(client, known)

    testing.sign_in(client, "anna")

    assert not send(client, known)
    assert send(client, client.get("/csrf/").text)


# --- what still works -----------------------------------------------------------------------------


def test_forms_of_a_session_stay_valid(client: Client, store: str) -> None:
    client.get("/csrf/")
    testing.sign_in(client, "anna")
    tokens = [client.get("/csrf/").text for _ in range(3)]

    assert all(send(client, token) for token in tokens)


def test_first_page_of_any_kind_renews_the_cookie_for_scripts(client: Client) -> None:
    """Scripts read the cookie, and may never see a form."""
    client.get("/csrf/")
    testing.sign_in(client, "anna")

    client.get("/")

    response = client.post("/user/", headers={"X-CSRFToken": client.cookies[COOKIE].value})
    assert response.content == b"anna"


def test_requests_that_the_browser_sends_at_once_after_the_sign_in_agree(client: Client) -> None:
    client.get("/csrf/")
    testing.sign_in(client, "anna")
    other = Client(enforce_csrf_checks=True)
    other.cookies = client.cookies.copy()

    token = client.get("/csrf/").text
    other.get("/user/")
    client.cookies[COOKIE] = other.cookies[COOKIE].value  # the last answer wins

    assert send(client, token)


def test_sign_in_without_a_csrf_cookie_sets_none(client: Client) -> None:
    testing.sign_in(client, "anna")

    assert not client.get("/user/").cookies
    assert not client.get("/").cookies


def test_cookie_is_renewed_once_and_without_redis(client: Client) -> None:
    client.get("/csrf/")
    testing.sign_in(client, "anna")

    with counted_trips() as trips:
        first, second = client.get("/"), client.get("/")

    assert [COOKIE in each.cookies for each in (first, second)] == [True, False]
    assert first["Vary"] == "Cookie"
    assert len(trips) == 0


def test_attack_secret_from_a_shared_cache(client: Client) -> None:
    """The view has declared its page public, because it is the same for all visitors."""
    client.get("/csrf/")
    testing.sign_in(client, "anna")

    renewed, next_one = client.get("/public/"), client.get("/public/")

    assert COOKIE in renewed.cookies
    assert renewed["Cache-Control"] == "max-age=60, private"
    assert COOKIE not in next_one.cookies
    assert next_one["Cache-Control"] == "max-age=60, public"


@pytest.mark.parametrize("cookie", ["stays", "goes"])
def test_form_of_a_session_that_has_ended_is_not_forged(client: Client, cookie: str) -> None:
    """The visitor is sent to the login page, not to an error."""
    testing.sign_in(client, "anna")
    form = client.get("/csrf/").text
    end(token_of(client))
    if cookie == "goes":
        del client.cookies[conf.dsn().cookie_name]

    response = client.post("/private/", {"csrfmiddlewaretoken": form})

    assert response.status_code == 302


def test_token_of_the_response_that_rotates_the_secret_is_valid(client: Client) -> None:
    testing.sign_in(client, "anna")
    client.get("/csrf/")

    token = client.get("/csrf/rotated/").text

    assert send(client, token)


def test_secret_survives_a_rotation_of_the_secret_key(client: Client, settings) -> None:
    testing.sign_in(client, "anna")
    form = client.get("/csrf/").text

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]

    assert send(client, form)
    assert send(client, client.get("/csrf/").text)
    settings.SECRET_KEY_FALLBACKS = []
    assert send(client, form)


def test_cookie_keeps_its_attributes(client: Client, settings) -> None:
    settings.CSRF_COOKIE_HTTPONLY, settings.CSRF_COOKIE_AGE = True, 60
    testing.sign_in(client, "anna")

    client.get("/csrf/")

    cookie = client.cookies[COOKIE]
    assert (cookie["httponly"], cookie["max-age"], cookie["samesite"]) == (True, 60, "Lax")


def test_bound_cookie_is_a_token_in_djangos_format() -> None:
    secret, token = django_csrf._get_new_csrf_string(), mint_token()

    cookie = csrf.bound(secret, token)

    django_csrf._check_token_format(cookie)
    assert django_csrf._unmask_cipher_token(cookie) == secret
    assert csrf.is_bound(cookie, token)


@pytest.mark.parametrize("value", ["", "a" * 32, "a" * 64, "\xe9" * 64, "-" * 64])
def test_what_is_not_bound_is_not_taken_for_it(value: str) -> None:
    assert not csrf.is_bound(value, mint_token())
