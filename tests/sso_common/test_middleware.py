"""A request from its cookies to its user, and the response's cookies: what it costs and what it leaves."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from sso_common import conf, store, testing
from sso_common.middleware import SessionMiddleware
from sso_common.models import Account
from sso_common.sessions import SessionStore
from tests.sso_common.tools import (
    anonymous_name,
    counted_commands,
    counted_trips,
    end,
    events,
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
JSON = {"accept": "application/json"}


@pytest.fixture
def visitor(client: Client) -> Client:
    """Signed in, known to this site, and not here for the first time."""
    testing.sign_in(client, "anna")
    client.get("/user/")
    return client


def _data(client: Client) -> dict[str, Any]:
    return dict(SessionStore(token=token_of(client)).items())


# --- what a request costs --------------------------------------------------------------------------


def test_a_page_that_looks_at_neither_session_nor_user_asks_nothing(
    visitor: Client, django_assert_num_queries
) -> None:
    visitor.cookies[COOKIE] = "a-cookie-of-an-anonymous-session"

    with counted_trips() as trips, django_assert_num_queries(0):
        response = visitor.get("/")

    assert len(trips) == 0
    assert without_cookies(response)
    assert "Vary" not in response.headers


@pytest.mark.parametrize("path", ["/show/", "/identity/"])
def test_a_page_that_looks_at_the_session_costs_one_round_trip(
    visitor: Client, django_assert_num_queries, path: str
) -> None:
    with counted_trips() as trips, django_assert_num_queries(0):
        response = visitor.get(path)

    assert len(trips) == 1
    assert without_cookies(response)


@pytest.mark.parametrize("path", ["/user/", "/private/", "/swallowing/", "/sso/login/"])
def test_the_user_costs_one_query_more(visitor: Client, django_assert_num_queries, path: str) -> None:
    with counted_trips() as trips, django_assert_num_queries(1):
        visitor.get(path)

    assert len(trips) == 1


def test_the_server_counts_the_same(visitor: Client, valkey) -> None:
    with counted_commands(valkey.admin) as calls:
        visitor.get("/user/")

    assert calls == {"get": 1, "pttl": 1, "hgetall": 1}


def test_a_change_costs_one_round_trip_more(visitor: Client) -> None:
    visitor.get("/put/?a=1")

    with counted_trips() as trips:
        visitor.get("/put/?a=2")

    assert len(trips) == 2


def test_what_did_not_change_is_not_written(visitor: Client, valkey) -> None:
    visitor.get("/put/?a=1")

    with counted_commands(valkey.admin) as calls:
        visitor.get("/show/")

    assert not calls.keys() & {"hset", "evalsha", "eval", "pexpire", "xadd"}


def test_a_visitor_without_cookies_costs_nothing(client: Client, django_assert_num_queries) -> None:
    with counted_trips() as trips, django_assert_num_queries(0):
        response = client.get("/user/")

    assert len(trips) == 0
    assert response.content == b"nobody"


# --- after the response ----------------------------------------------------------------------------


def _call(token, look: bool = True) -> tuple[HttpResponse, Any]:
    """One request as a server makes it: the response is ready, and not closed yet."""

    def view(request: HttpRequest) -> HttpResponse:
        if look:
            assert request.session.identity is not None
        return HttpResponse("seen")

    request = RequestFactory(headers={"cookie": f"{conf.cookie_name()}={token.value}"}).get("/")
    return SessionMiddleware(view)(request), request


def test_first_visit_costs_one_more_round_trip(valkey) -> None:
    token = issue("anna")
    _call(token)  # the server learns the script
    end(token)
    token = issue("anna")

    with counted_trips() as trips:
        _call(token)
        after_the_first_visit = len(trips)
        _call(token)

    assert after_the_first_visit == 2
    assert len(trips) == 3
    assert store.client().hgetall(site_name(token)) == {store.MARKER: b""}


def test_a_page_that_does_not_look_is_no_visit(valkey) -> None:
    token = issue("anna")

    response, _request = _call(token, look=False)
    response.close()

    assert names_in_redis() == {record_name(token).encode()}


def test_idle_timeout_is_extended(visitor: Client) -> None:
    token = token_of(visitor)
    for name in (record_name(token), site_name(token)):
        store.client().pexpire(name, 3_600_000)

    with counted_trips() as trips:
        _call(token)

    assert store.client().pttl(record_name(token)) > 11 * 3_600_000
    assert len(trips) == 2


def test_the_idle_timeout_is_extended_at_most_once_a_minute(visitor: Client) -> None:
    token = token_of(visitor)
    for name in (record_name(token), site_name(token)):
        store.client().pexpire(name, 12 * 3_600_000 - 50_000)

    with counted_trips() as trips:
        for _ in range(5):
            visitor.get("/show/")

    assert len(trips) == 5


def test_session_that_ended_during_the_request_is_not_extended(valkey) -> None:
    token = issue("anna")

    def view(request: HttpRequest) -> HttpResponse:
        assert request.session.identity
        end(token)
        return HttpResponse()

    cookie = f"{conf.cookie_name()}={token.value}"
    SessionMiddleware(view)(RequestFactory(headers={"cookie": cookie}).get("/"))

    assert names_in_redis() == set()


def test_unchanged_pages_keep_a_session_alive(visitor: Client, settings) -> None:
    """A 304 response replaces the one that our middleware has seen."""
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware", *settings.MIDDLEWARE]
    token, cookies = token_of(visitor), visitor.cookies
    visitor = Client()  # with the new middleware
    visitor.cookies = cookies
    etag = visitor.get("/user/")["ETag"]
    for name in (record_name(token), site_name(token)):
        store.client().pexpire(name, 3_600_000)

    response = visitor.get("/user/", headers={"if-none-match": etag})

    assert response.status_code == 304
    assert store.client().pttl(record_name(token)) > 11 * 3_600_000


def test_failed_extension_is_only_logged(visitor: Client, valkey, caplog) -> None:
    token = token_of(visitor)
    store.client().pexpire(site_name(token), 3_600_000)

    def view(request: HttpRequest) -> HttpResponse:
        assert request.session.identity
        valkey.kill()
        return HttpResponse("the page")

    cookie = f"{conf.cookie_name()}={token.value}"
    response = SessionMiddleware(view)(RequestFactory(headers={"cookie": cookie}).get("/"))

    assert (response.status_code, response.content) == (200, b"the page")
    assert "Idle timeout not extended" in caplog.text


# --- cookies ---------------------------------------------------------------------------------------


def test_an_anonymous_session_has_a_host_only_cookie(client: Client, settings) -> None:
    settings.SESSION_COOKIE_DOMAIN = "testserver"

    response = client.get("/put/?cart=mug")

    (cookie,) = response.cookies.values()
    assert cookie.key == COOKIE
    assert (cookie["domain"], cookie["path"]) == ("", "/")
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert int(cookie["max-age"]) == settings.SESSION_COOKIE_AGE
    assert "Cookie" in response["Vary"]


def test_a_cookie_that_ends_with_the_browser_has_no_age(client: Client, settings) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True

    cookie = client.get("/put/?cart=mug").cookies[COOKIE]

    assert (cookie["max-age"], cookie["expires"]) == ("", "")


def test_a_signed_in_visitor_gets_no_cookie_of_any_kind(visitor: Client) -> None:
    responses = [visitor.get(path) for path in ("/put/?a=1", "/user/", "/flush/", "/put/?b=2", "/show/")]

    assert all(without_cookies(response) for response in responses)
    assert responses[-1].json() == {"b": "2"}


def test_no_response_of_a_site_ever_names_the_sso_cookie(visitor: Client) -> None:
    name = conf.cookie_name()
    responses = [
        visitor.get("/put/?a=1"),
        visitor.get("/sso/login/?next=/show/"),
        visitor.post("/sso/logout/"),
        visitor.get("/put/?a=1"),
        visitor.get("/sso/login/?returned=1"),
    ]
    visitor.cookies[name] = "damaged"
    responses += [visitor.get("/put/?a=1"), visitor.get("/flush/")]

    assert not any(name in response.cookies for response in responses)


def test_the_cookie_of_an_adopted_session_is_taken_back(client: Client) -> None:
    client.get("/put/?cart=mug")
    testing.sign_in(client, "anna")

    response = client.get("/show/")

    assert response.json() == {"cart": "mug"}
    cookie = response.cookies[COOKIE]
    assert (cookie.value, cookie["max-age"], cookie["path"], cookie["domain"]) == ("", 0, "/", "")
    assert cookie["secure"] is True  # or a browser refuses even to delete it
    assert COOKIE not in client.get("/show/").cookies


def test_the_cookie_of_a_session_that_is_gone_is_taken_back(client: Client) -> None:
    client.cookies[COOKIE] = "expired-or-never-issued"

    response = client.get("/show/")

    assert response.cookies[COOKIE].value == ""
    assert "Cookie" in response["Vary"]


def test_a_page_that_does_not_look_leaves_even_a_dead_cookie_alone(client: Client) -> None:
    client.cookies[COOKIE] = "expired-or-never-issued"

    assert without_cookies(client.get("/"))


def test_a_flushed_anonymous_session_takes_its_cookie_back(client: Client) -> None:
    client.get("/put/?cart=mug")

    response = client.get("/flush/")

    assert response.cookies[COOKIE].value == ""
    assert names_in_redis() == set()


def test_flushing_what_never_was_sets_no_cookie(client: Client) -> None:
    response = client.get("/flush/")

    assert without_cookies(response)
    assert "Cookie" in response["Vary"]


@pytest.mark.parametrize("path", ["/show/", "/user/", "/identity/", "/sso/login/"])
def test_what_depends_on_the_visitor_says_so_to_caches(visitor: Client, path: str) -> None:
    assert "Cookie" in visitor.get(path)["Vary"]


# --- saving ----------------------------------------------------------------------------------------


def test_a_server_error_saves_nothing(valkey) -> None:
    token = issue("anna")

    def view(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        return HttpResponse(status=500)

    request = RequestFactory(headers={"cookie": f"{conf.cookie_name()}={token.value}"}).get("/")
    SessionMiddleware(view)(request)

    assert dict(SessionStore(token=token).items()) == {}


def test_clearing_is_saved_also_where_nothing_else_looked_at_the_session(visitor: Client) -> None:
    visitor.get("/put/?a=1")
    cookie = f"{conf.cookie_name()}={token_of(visitor).value}"

    def view(request: HttpRequest) -> HttpResponse:
        request.session.clear()
        return HttpResponse()

    SessionMiddleware(view)(RequestFactory(headers={"cookie": cookie}).get("/"))

    assert _data(visitor) == {}


def test_clearing_with_a_cookie_that_opens_nothing_leaves_nothing(valkey) -> None:
    token = issue("anna")
    end(token)

    def view(request: HttpRequest) -> HttpResponse:
        request.session.clear()
        return HttpResponse()

    cookie = f"{conf.cookie_name()}={token.value}"
    response = SessionMiddleware(view)(RequestFactory(headers={"cookie": cookie}).get("/"))

    assert without_cookies(response)
    assert names_in_redis() == set()


@pytest.fixture
def slow_site(visitor: Client, settings) -> Client:
    """The same visitor, at a site that is slow enough for them to sign out elsewhere meanwhile."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SignedOutElsewhere"]
    slow = Client()
    slow.cookies = visitor.cookies
    return slow


@pytest.mark.parametrize("path", ["/put/?a=2", "/flush/"])
def test_a_change_to_a_session_that_ended_meanwhile_is_refused(
    visitor: Client, path: str, slow_site: Client
) -> None:
    response = slow_site.get(path)

    assert response.status_code == 400
    assert without_cookies(response)
    assert not has_identity(token_of(visitor))
    assert not store.client().exists(site_name(token_of(visitor)))


class SignedOutElsewhere:
    """Ends the session between view and response: the moment in which a slow request would save."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.session.get("anything")
        response = self.get_response(request)
        store.client().unlink(record_name(request.session.token), site_name(request.session.token))
        return response


def test_reading_a_session_that_ended_meanwhile_is_no_error(slow_site: Client) -> None:
    assert slow_site.get("/show/").status_code == 200


class TestSaveEveryRequest:
    @pytest.fixture(autouse=True)
    def _save_every_request(self, settings) -> None:
        settings.SESSION_SAVE_EVERY_REQUEST = True

    def test_an_anonymous_session_is_renewed_by_a_page_that_does_not_look(self, client: Client) -> None:
        client.get("/put/?cart=mug")
        name = anonymous_name(client.cookies[COOKIE].value)
        store.client().pexpire(name, 60_000)

        response = client.get("/")

        assert store.client().pttl(name) > 60_000
        assert response.cookies[COOKIE].value == client.cookies[COOKIE].value
        assert "Cookie" in response["Vary"]

    def test_a_cookie_of_a_session_that_is_gone_is_taken_back(self, client: Client) -> None:
        client.cookies[COOKIE] = "expired-or-never-issued"

        response = client.get("/")

        assert response.status_code == 200
        assert response.cookies[COOKIE].value == ""
        assert names_in_redis() == set()

    def test_a_visitor_without_cookies_gets_none(self, client: Client) -> None:
        assert without_cookies(client.get("/"))
        assert names_in_redis() == set()

    def test_a_session_that_has_ended_gets_no_cookie(self, visitor: Client) -> None:
        end(token_of(visitor))

        response = visitor.get("/")

        assert response.status_code == 200
        assert without_cookies(response)

    def test_a_signed_in_session_is_saved_and_gets_no_cookie(self, visitor: Client) -> None:
        visitor.get("/put/?a=1")

        assert without_cookies(visitor.get("/"))
        assert _data(visitor) == {"a": "1"}


# --- the user --------------------------------------------------------------------------------------


def test_a_first_visit_makes_the_local_user_without_the_portal(client: Client) -> None:
    identity = testing.sign_in(client, "anna", first_name="Anna")

    assert client.get("/user/").content == b"anna"

    user = User.objects.get()
    assert (user.username, user.first_name, user.email) == ("anna", "Anna", "anna@example.com")
    assert not user.has_usable_password()
    assert Account.objects.get().sub == identity.sub


def test_the_identity_is_at_hand_beside_the_user(visitor: Client) -> None:
    testing.sign_in(visitor, "anna", roles=["editor"])

    assert visitor.get("/identity/").json() == {"sub": str(testing.subject("anna")), "roles": ["editor"]}


def test_the_identity_of_nobody_is_false(client: Client) -> None:
    assert client.get("/identity/").json() == {}


def test_signing_out_at_another_site_holds_at_the_next_request(visitor: Client) -> None:
    testing.sign_out(visitor)

    assert visitor.get("/user/").content == b"nobody"
    assert visitor.get("/identity/").json() == {}


def test_a_user_who_was_deactivated_is_not_signed_in_and_their_session_not_extended(visitor: Client) -> None:
    token = token_of(visitor)
    Account.objects.update(is_active=False)
    for name in (record_name(token), site_name(token)):
        store.client().pexpire(name, 60_000)

    assert visitor.get("/user/").content == b"nobody"
    assert store.client().pttl(record_name(token)) <= 60_000


def test_a_refused_user_has_no_identity_either(visitor: Client) -> None:
    Account.objects.update(not_before=2**40)

    def view(request: HttpRequest) -> HttpResponse:
        assert not request.user.is_authenticated
        return HttpResponse("signed in" if request.sso else "nobody")

    assert _through_the_site(view, visitor).content == b"nobody"


def _through_the_site(view, client: Client) -> HttpResponse:
    from sso_common.middleware import AuthenticationMiddleware

    cookie = f"{conf.cookie_name()}={token_of(client).value}"
    request = RequestFactory(headers={"cookie": cookie}).get("/")
    return SessionMiddleware(AuthenticationMiddleware(view))(request)


def test_a_session_from_before_everything_was_ended_is_refused_even_if_a_failover_brings_it_back(
    visitor: Client,
) -> None:
    record = store.client().get(record_name(token_of(visitor)))
    Account.objects.update(not_before=int(time.time()) + 1)
    testing.sign_out(visitor)
    testing.store_record(token_of(visitor).sid, record)

    assert visitor.get("/user/").content == b"nobody"


# --- the local login of stock Django ---------------------------------------------------------------


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")


def test_force_login_works_as_in_stock_django(client: Client, operator: User) -> None:
    client.force_login(operator)

    assert client.get("/user/").content == b"operator"
    assert client.get("/private/").status_code == 200
    assert client.get("/identity/").json() == {}


@pytest.mark.parametrize("backend", [None, "django.contrib.auth.backends.ModelBackend"])
def test_force_login_works_with_either_backend(client: Client, operator: User, backend: str | None) -> None:
    client.force_login(operator, backend=backend)

    assert client.get("/user/").content == b"operator"


def test_login_with_a_password_works_as_in_stock_django(client: Client, operator: User) -> None:
    assert client.login(username="operator", password="of-the-tests")
    assert not Client().login(username="operator", password="wrong")

    assert client.get("/user/").content == b"operator"


def test_logout_works_as_in_stock_django(client: Client, operator: User) -> None:
    client.force_login(operator)
    key = client.cookies[COOKIE].value

    client.logout()

    assert client.get("/user/").content == b"nobody"
    assert not store.client().exists(anonymous_name(key))


def test_a_local_login_changes_the_key_and_keeps_the_data(client: Client, operator: User) -> None:
    client.get("/put/?cart=mug")
    before = client.cookies[COOKIE].value

    client.get("/local-login/?username=operator")

    assert client.cookies[COOKIE].value != before
    assert not store.client().exists(anonymous_name(before))
    assert client.get("/show/").json()["cart"] == "mug"


def test_a_local_login_ends_with_the_password(client: Client, operator: User) -> None:
    client.force_login(operator)
    operator.set_password("another")
    operator.save()

    assert client.get("/user/").content == b"nobody"


def test_a_local_login_of_a_user_who_is_gone_is_nobodys(client: Client, operator: User) -> None:
    client.force_login(operator)
    operator.delete()

    assert client.get("/user/").content == b"nobody"


def test_a_local_login_inside_a_signed_in_session_comes_first(visitor: Client, operator: User) -> None:
    """The break-glass superuser, in a browser that is signed in at the portal."""
    visitor.get("/local-login/?username=operator")

    assert visitor.get("/user/").content == b"operator"
    assert has_identity(token_of(visitor))


def test_logout_then_ends_both(visitor: Client, operator: User) -> None:
    visitor.get("/local-login/?username=operator")

    visitor.get("/sign-out/")

    assert visitor.get("/user/").content == b"nobody"
    assert not has_identity(token_of(visitor))


def test_whoever_is_refused_at_the_portal_can_still_sign_in_locally(client: Client, operator: User) -> None:
    testing.sign_in(client, "anna", sites={})

    client.get("/local-login/?username=operator")

    assert client.get("/user/").content == b"operator"


# --- signing out -----------------------------------------------------------------------------------


def test_logout_signs_out_everywhere(visitor: Client) -> None:
    visitor.get("/put/?a=1")
    token = token_of(visitor)

    visitor.get("/sign-out/")

    assert names_in_redis() == {store.events_key(conf.namespace()).encode()}
    assert visitor.get("/user/").content == b"nobody"
    assert [event[b"sid"] for event in events("signed_out")] == [token.sid.encode()]


def test_a_bare_flush_signs_nobody_out(visitor: Client) -> None:
    visitor.get("/put/?a=1")

    visitor.get("/flush/")

    assert has_identity(token_of(visitor))
    assert visitor.get("/user/").content == b"anna"
    assert visitor.get("/show/").json() == {}
    assert events("signed_out") == []


def test_after_logout_the_session_can_be_used_again_and_is_a_new_one(visitor: Client) -> None:
    visitor.get("/put/?a=1")
    visitor.get("/sign-out/")

    visitor.get("/put/?b=2")

    assert visitor.get("/show/").json() == {"b": "2"}
    assert COOKIE in visitor.cookies


# --- not signed in, not admitted -------------------------------------------------------------------


def test_a_navigation_goes_to_the_hop(client: Client) -> None:
    response = client.get("/private/?page=2")

    assert response.status_code == 302
    assert response["Location"] == "/sso/login/?next=/private/%3Fpage%3D2"


SCRIPTS = {
    "accepts json": JSON,
    "prefers json": {"accept": "application/json, text/html;q=0.5"},
    "fetch": {"sec-fetch-mode": "cors", "accept": "*/*"},
    "fetch of the same origin": {"sec-fetch-mode": "same-origin"},
    "an older library": {"x-requested-with": "XMLHttpRequest"},
}
NAVIGATIONS = {
    "a browser": {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-mode": "navigate"},
    "a program that takes anything": {"accept": "*/*"},
    "a program that says nothing": {},
    "an older browser": {"accept": "text/html"},
}


@pytest.mark.parametrize("headers", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_gets_401_and_never_a_redirect(client: Client, headers: dict[str, str]) -> None:
    response = client.get("/private/", headers=headers)

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("SSO realm=")
    assert response.json()["error"] == "not_signed_in"
    assert response.json()["login"] == "http://testserver/sso/login/"
    assert "no-store" in response["Cache-Control"]
    assert without_cookies(response)


@pytest.mark.parametrize("headers", NAVIGATIONS.values(), ids=NAVIGATIONS)
def test_a_person_is_redirected(client: Client, headers: dict[str, str]) -> None:
    assert client.get("/private/", headers=headers).status_code == 302


@pytest.mark.parametrize("headers", [*SCRIPTS.values(), *NAVIGATIONS.values()], ids=[*SCRIPTS, *NAVIGATIONS])
def test_whoever_is_not_admitted_gets_403_and_never_a_redirect(
    client: Client, headers: dict[str, str]
) -> None:
    testing.sign_in(client, "mallory", sites={"site_b": ["admin"]})

    response = client.get("/private/", headers=headers)

    assert response.status_code == 403
    assert not User.objects.exists()


def test_the_page_of_who_is_not_admitted_has_a_way_back(client: Client) -> None:
    testing.sign_in(client, "mallory", sites={})

    response = client.get("/private/")

    assert f'href="{conf.portal_url()}/"' in response.text


@pytest.mark.parametrize("headers", [{}, JSON], ids=["page", "json"])
def test_a_right_that_is_missing_is_403_and_no_redirect_for_ever(
    visitor: Client, headers: dict[str, str]
) -> None:
    """``permission_required`` sends to the login page, which would send the visitor straight back."""
    response = visitor.get("/needs-permission/", headers=headers)

    assert response.status_code == 403


def test_a_right_that_is_missing_is_403_for_a_local_login_too(client: Client) -> None:
    client.force_login(User.objects.create_user("local"))

    assert client.get("/needs-permission/").status_code == 403


def test_a_right_that_is_missing_sends_nobody_in_particular_to_the_hop(client: Client) -> None:
    assert client.get("/needs-permission/")["Location"].startswith("/sso/login/?next=")


def test_a_site_may_still_send_people_to_the_hop_after_logging_them_out(visitor: Client) -> None:
    response = visitor.get("/sign-out-and-in/")

    assert (response.status_code, response["Location"]) == (302, "/sso/login/")


@pytest.mark.parametrize("path", ["/needs-permission/?page=2", "/needs-permission/ü/"])
def test_it_is_403_whatever_the_address_looks_like(visitor: Client, path: str) -> None:
    assert visitor.get(path).status_code == 403


def test_a_site_may_send_signed_in_people_by_way_of_the_hop_to_another_page(visitor: Client) -> None:
    response = visitor.get("/by-way-of-the-hop/", follow=True)

    assert response.redirect_chain == [("/sso/login/?next=/user/", 302), ("/user/", 302)]
    assert response.content == b"anna"


def test_other_redirects_are_left_alone(visitor: Client) -> None:
    response = visitor.get("/user")  # CommonMiddleware adds the slash

    assert (response.status_code, response["Location"]) == (301, "/user/")


# --- other sites' middleware -----------------------------------------------------------------------


def test_a_request_that_never_passed_the_session_middleware_is_left_alone(rf: RequestFactory) -> None:
    from sso_common.middleware import AuthenticationMiddleware

    with pytest.raises(Exception, match="session"):
        AuthenticationMiddleware(lambda request: HttpResponse())(rf.get("/"))


def test_a_site_may_replace_the_session_of_a_request(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session = SessionStore()
        request.session["a"] = 1
        return HttpResponse()

    response = SessionMiddleware(view)(rf.get("/"))

    assert dict(SessionStore(response.cookies[COOKIE].value).items()) == {"a": 1}


def test_an_interrupted_session_is_a_bad_request_as_in_django(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session = SessionStore()
        request.session.save(must_create=True)
        request.session.delete()
        request.session["a"] = 1
        return HttpResponse()

    with pytest.raises(BadRequest, match="deleted before the request completed"):
        SessionMiddleware(view)(rf.get("/"))


def test_csrf_secrets_may_live_in_the_session(visitor: Client, settings) -> None:
    settings.CSRF_USE_SESSIONS = True

    assert visitor.get("/csrf/").status_code == 200
    assert "_csrftoken" in _data(visitor)
