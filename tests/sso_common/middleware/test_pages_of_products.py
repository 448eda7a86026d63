"""Login and account pages of other apps: the portal replaces those that the settings name."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import set_script_prefix

from sso_common import conf, testing
from sso_common.cookies import SENT_TO
from sso_common.middleware import AuthenticationMiddleware
from sso_common.models import Account
from tests.product_urls import FORM
from tests.servers import ValkeyServer
from tests.sso_common.tools import counted_trips, sets_no_cookie

JSON = {"accept": "application/json"}
SHOP = "/shop/login/"
LOGINS = ["gate", "shop_login", "event:login", "konto_login", "async_login", "/old/login/"]
ACCOUNTS = {"shop_password": "password", "/shop/register": "signup"}


@pytest.fixture(autouse=True)
def _product(settings) -> None:
    settings.ROOT_URLCONF = "tests.product_urls"
    settings.LANGUAGES = [("en", "English"), ("de", "German")]
    settings.SSO_LOGIN_PAGES = LOGINS
    settings.SSO_ACCOUNT_PAGES = ACCOUNTS


def wanted(location: str) -> str:
    """Where the visitor comes back to after signing in at the portal, to which a redirect leads."""
    portal = urlsplit(location)
    assert f"{portal.scheme}://{portal.netloc}{portal.path}" == f"{conf.dsn().portal_url}/sso/v1/enter"
    (back,) = parse_qs(portal.query)["next"]
    assert back.startswith("http://testserver/sso/login/?")
    query = parse_qs(urlsplit(back).query)
    assert query["returned"] == ["1"]
    return query["next"][0]


# --- anonymous visitors --------------------------------------------------------------------------


def test_login_page_of_another_app_leads_through_the_portal_to_the_wanted_page(client: Client) -> None:
    response = client.get(SHOP, {"next": "/private/?page=2"})

    assert response.status_code == 302
    assert wanted(response["Location"]) == "/private/?page=2"
    assert "no-store" in response["Cache-Control"]
    assert sets_no_cookie(response)


def test_visitor_signs_in_and_reaches_the_page(client: Client) -> None:
    page = client.get("/party/mine/")
    to_portal = client.get(page["Location"])
    testing.sign_in(client, "anna")  # what the portal does
    back = urlsplit(parse_qs(urlsplit(to_portal["Location"]).query)["next"][0])

    response = client.get(f"{back.path}?{back.query}", follow=True)

    assert response.redirect_chain == [("/party/mine/", 302)]
    assert response.content == b"mine"


@pytest.mark.parametrize("entry", ["shop_login", SHOP, "/shop/login", "/site/shop/login/"])
@pytest.mark.parametrize("prefix", ["/", "/site/"])
def test_page_is_named_by_its_path_or_url_name(client: Client, settings, entry: str, prefix: str) -> None:
    settings.SSO_LOGIN_PAGES = [entry]
    settings.FORCE_SCRIPT_NAME = prefix.rstrip("/") or None
    set_script_prefix(prefix)  # as the WSGI handler does
    try:
        form = client.get(SHOP)
        page = client.get("/shop/", {"page": "2"})
    finally:
        set_script_prefix("/")

    is_covered = prefix == "/site/" or entry != "/site/shop/login/"
    assert form.status_code == (302 if is_covered else 200)
    assert page["Location"].startswith("/sso/login/" if is_covered else SHOP, len(prefix) - 1)


@pytest.mark.parametrize("entry", ["konto_login", "/konto/login/", "/en/konto/login/", "/de/konto/login"])
@pytest.mark.parametrize("path", ["/en/konto/login/", "/de/konto/login/"])
def test_page_with_a_language_in_its_path_is_covered_in_every_language(
    client: Client, settings, entry: str, path: str
) -> None:
    settings.SSO_LOGIN_PAGES = [entry]
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", *settings.MIDDLEWARE]

    response = client.get(path, {"next": "/user/"})

    assert wanted(response["Location"]) == "/user/"


@pytest.mark.parametrize("path", ["/fr/konto/login/", "/x/konto/login/"])
def test_other_paths_are_not_taken_for_a_language(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_name_covers_the_page_whatever_arguments_its_address_has(client: Client) -> None:
    response = client.get("/party/login/", {"back": "/party/mine/"})

    assert wanted(response["Location"]) == "/party/mine/"


def test_form_sent_to_a_login_page_leads_to_the_portal(client: Client) -> None:
    response = client.post(
        SHOP, {"username": "anna", "password": "of-the-tests", "next": "/user/"}, query_params={"next": "/"}
    )

    assert wanted(response["Location"]) == "/user/"


@pytest.mark.parametrize("method", ["get", "post"])
def test_script_gets_401_from_a_login_page(client: Client, method: str) -> None:
    response = getattr(client, method)(SHOP, headers=JSON)

    assert response.status_code == 401
    assert response.json()["login"] == "http://testserver/sso/login/"


def test_visitor_without_a_wanted_page_comes_back_to_the_login_page(client: Client) -> None:
    """There, the app itself decides where its users go; see below."""
    assert wanted(client.get("/party/login/")["Location"]) == "/party/login/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"]
)
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_attack_open_redirect_through_a_login_page(
    client: Client, visitor: Client, target: str, is_signed_in: bool
) -> None:
    browser = visitor if is_signed_in else Client()

    response = browser.get(SHOP, {"next": target}, query_params=None)

    if is_signed_in:
        assert response["Location"] == "/shop/"
    else:
        assert wanted(response["Location"]) == SHOP


@pytest.mark.parametrize("headers", [{}, {"referer": "http://testserver//evil.example/gate/?local"}])
def test_attack_open_redirect_through_the_path_of_a_login_page(
    visitor: Client, headers: dict[str, str]
) -> None:
    # The test client takes such an address for that of another host.
    response = visitor.post("/", headers=headers, PATH_INFO="//evil.example/gate/")

    assert response["Location"].startswith("/%2Fevil.example/gate/")


def test_redirect_to_a_login_page_of_another_app_is_401_for_scripts(client: Client) -> None:
    assert client.get("/shop/", headers=JSON).status_code == 401


def test_redirect_to_a_login_page_keeps_the_whole_address(client: Client) -> None:
    response = client.get("/shop/split/?a=1&b=2")

    assert response["Location"] == "/sso/login/?next=%2Fshop%2Fsplit%2F%3Fa%3D1%26b%3D2"


def test_redirect_with_an_invalid_address_stays(client: Client) -> None:
    assert client.get("/shop/broken/")["Location"] == "/shop/login/?next=//["


def test_login_page_is_503_without_redis(visitor: Client, valkey: ValkeyServer) -> None:
    valkey.kill()

    response = visitor.get(SHOP)

    assert response.status_code == 503
    assert sets_no_cookie(response)


def test_other_pages_do_not_read_the_session(visitor: Client) -> None:
    with counted_trips() as trips:
        assert visitor.get("/").content == b"a page that reads nothing"

    assert len(trips) == 0


def test_forged_post_to_a_login_page_is_refused() -> None:
    assert Client(enforce_csrf_checks=True).post(SHOP).status_code == 403


# --- users who are signed in ---------------------------------------------------------------------


def test_signed_in_user_goes_to_the_wanted_page_at_once(visitor: Client) -> None:
    response = visitor.get(SHOP, {"next": "/private/?page=2"})

    assert (response.status_code, response["Location"]) == (302, "/private/?page=2")


@pytest.mark.parametrize("headers", [{}, JSON], ids=["page", "json"])
@pytest.mark.parametrize("path", ["/shop/", "/shop/?page=2"])
def test_missing_permission_is_403_and_no_loop_through_the_login_page(
    visitor: Client, path: str, headers: dict[str, str]
) -> None:
    response = visitor.get(path, headers=headers)

    assert response.status_code == 403


def test_user_with_the_permission_sees_the_page(client: Client) -> None:
    client.force_login(User.objects.create_superuser("operator"))

    assert client.get("/shop/").content == b"the shop's office"


def test_page_that_keeps_sending_a_user_back_by_a_script_is_403_in_the_end(visitor: Client) -> None:
    answers = [visitor.get(SHOP, {"next": "/shop/script/"}).status_code for _ in range(4)]

    assert answers == [302, 302, 403, 403]
    assert visitor.get(SHOP, {"next": "/user/"})["Location"] == "/user/"


def test_login_view_itself_ends_such_a_loop(visitor: Client) -> None:
    answers = [visitor.get("/sso/login/", {"next": "/shop/script/"}).status_code for _ in range(3)]

    assert answers == [302, 302, 403]


def test_cookie_against_loops_is_short_lived_and_for_this_host_only(visitor: Client) -> None:
    response = visitor.get(SHOP, {"next": "/user/"})

    (cookie,) = response.cookies.values()
    assert cookie.key == SENT_TO
    assert cookie.key.startswith("__Host-")
    assert cookie["max-age"] == 10
    assert cookie["secure"]
    assert cookie["httponly"]
    assert not cookie["domain"]


@pytest.mark.parametrize("value", ["", ".", "x.1", "x", ".9" * 50, "1.-1", "1.²"])
def test_damaged_cookie_against_loops_is_ignored(visitor: Client, value: str) -> None:
    visitor.cookies[SENT_TO] = value

    assert visitor.get(SHOP, {"next": "/user/"}).status_code == 302


def test_signed_in_user_without_a_wanted_page_goes_where_the_app_decides(visitor: Client) -> None:
    assert visitor.get("/party/login/")["Location"] == "/party/mine/"


def test_signed_in_user_sees_no_login_form(visitor: Client) -> None:
    assert visitor.get(SHOP)["Location"] == "/shop/"
    assert visitor.get("/old/login/")["Location"] == "/"
    assert visitor.post(SHOP)["Location"] == SHOP


@pytest.mark.parametrize("path", [SHOP, "/shop/login/?next=/user/", "/party/login/", "/shop/"])
def test_user_without_access_to_the_site_gets_403(client: Client, path: str) -> None:
    testing.sign_in(client, "mallory", sites={"site_b": ["admin"]})

    response = client.get(path)

    assert response.status_code == 403
    assert not User.objects.exists()


def test_redirect_to_another_page_through_a_login_page_stays(visitor: Client) -> None:
    assert visitor.get("/shop/referrer/", follow=True).content == b"anna"


# --- the page's own form -------------------------------------------------------------------------


def log_in(client: Client, username: str) -> str:
    """Log in with the form of a login page; return the name of the next request's user."""
    assert client.get("/shop/login/?local").content.decode() == FORM
    data = {"username": username, "password": "of-the-tests"}
    client.post("/shop/login/?local", data)
    return client.get("/user/").content.decode()


def test_local_shows_the_form_for_users_of_this_site(client: Client) -> None:
    User.objects.create_user("local", password="of-the-tests")

    assert log_in(client, "local") == "local"


def link(user: User) -> None:
    Account.objects.create(sub=testing.subject(user.username), user=user, version=1)


def test_local_form_accepts_a_linked_superuser_in_an_emergency(client: Client, operator: User) -> None:
    link(operator)

    assert log_in(client, "operator") == "operator"


def test_local_form_refuses_other_users_of_the_portal(client: Client) -> None:
    link(User.objects.create_user("anna", password="of-the-tests"))

    assert log_in(client, "anna") == "nobody"


def test_form_that_posts_to_the_bare_address_stays_at_the_local_one(client: Client, operator: User) -> None:
    """Wagtail's form does so."""
    data = {"username": "operator", "password": "wrong"}
    referer = {"referer": "http://testserver/shop/login/?local"}

    response = client.post(SHOP, data, headers=referer)
    again = client.post(response["Location"], data)

    assert (response.status_code, response["Location"]) == (307, "/shop/login/?local")
    assert again.content.decode() == FORM


@pytest.mark.parametrize(
    "referer",
    [
        "http://evil.example/shop/login/?local",
        "http://testserver/?local",
        "http://testserver/shop/login/",
        "//[",
    ],
)
def test_other_pages_cannot_ask_for_the_local_form(client: Client, referer: str) -> None:
    response = client.post(SHOP, headers={"referer": referer})

    assert response.status_code in {302, 400}
    if response.status_code == 302:
        assert wanted(response["Location"]) == SHOP


# --- pages for passwords and accounts ------------------------------------------------------------


def portal_page(location: str) -> tuple[str, str]:
    """The page of the portal to which a redirect leads, and the address to which it leads back."""
    portal = urlsplit(location)
    assert f"{portal.scheme}://{portal.netloc}" == conf.dsn().portal_url
    (back,) = parse_qs(portal.query)["next"]
    return portal.path.removeprefix("/sso/v1/page/"), back


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_account_page_leads_to_the_portals_page_and_back(
    client: Client, visitor: Client, method: str, is_signed_in: bool
) -> None:
    browser = visitor if is_signed_in else Client()

    response = getattr(browser, method)("/shop/password/", query_params={"next": "/user/"})
    other = getattr(browser, method)("/shop/register/")

    assert portal_page(response["Location"]) == ("password", "http://testserver/user/")
    assert portal_page(other["Location"]) == ("signup", "http://testserver/")


def test_account_page_is_403_for_scripts(visitor: Client) -> None:
    response = visitor.post("/shop/password/", headers=JSON)

    assert response.status_code == 403
    assert portal_page(response.json()["portal"]) == ("password", "http://testserver/")


def test_user_with_a_local_login_keeps_the_page_of_this_site(client: Client, operator: User) -> None:
    client.force_login(operator)

    assert client.get("/shop/password/").content.decode() == FORM


def test_page_that_stays_local_is_not_replaced(client: Client, settings) -> None:
    settings.SSO_LOGIN_PAGES = []
    settings.SSO_ACCOUNT_PAGES = {"shop_login": "local"}

    assert client.get(SHOP).content.decode() == FORM


@pytest.mark.parametrize("page", ["account", "password", "reset", "email", "signup"])
def test_forwarder_leads_to_the_portals_page(client: Client, page: str) -> None:
    response = client.get(f"/sso/{page}/", {"next": "/user/"})

    assert portal_page(response["Location"]) == (page, "http://testserver/user/")


def test_template_tag_links_to_the_portals_page_and_back(visitor: Client) -> None:
    home, address = visitor.get("/shop/links/?page=password").text.replace("&amp;", "&").split()

    assert home == f"{conf.dsn().portal_url}/"
    assert portal_page(address) == ("password", "http://testserver/shop/links/?page=password")


# --- async ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
async def test_async_login_page_of_another_app_leads_to_the_portal(async_client: AsyncClient) -> None:
    response = await async_client.get("/async/login/", {"next": "/user/"})

    assert wanted(response["Location"]) == "/user/"


@pytest.mark.django_db(transaction=True)
async def test_async_signed_in_user_goes_to_the_wanted_page(async_client: AsyncClient) -> None:
    testing.sign_in(async_client, "anna")

    response = await async_client.get("/async/login/", {"next": "/async/private/"})
    form = await async_client.get("/async/login/")

    assert response["Location"] == "/async/private/"
    assert form["Location"] == "/"


def test_async_requests_need_no_thread_to_find_out_that_a_page_stays() -> None:
    """Django would call a sync ``process_view`` in a thread."""

    async def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    assert iscoroutinefunction(AuthenticationMiddleware(get_response).process_view)


@pytest.mark.django_db(transaction=True)
@override_settings(SSO_ACCOUNT_PAGES={"async_login": "password"}, SSO_LOGIN_PAGES=[])
async def test_async_account_page_leads_to_the_portal(async_client: AsyncClient) -> None:
    testing.sign_in(async_client, "anna")

    response = await async_client.get("/async/login/")

    assert portal_page(response["Location"])[0] == "password"


def test_page_with_a_login_form_inside_needs_a_sign_in_first(client: Client, settings) -> None:
    settings.SSO_ACCOUNT_PAGES = {"/shop/login/": "sign-in"}
    settings.SSO_LOGIN_PAGES = []

    anonymous = client.get(SHOP, {"page": "2"})
    form = client.post(SHOP, {"username": "anna"})
    script = client.get(SHOP, headers=JSON)
    testing.sign_in(client, "anna")

    assert [wanted(each["Location"]) for each in (anonymous, form)] == [f"{SHOP}?page=2", SHOP]
    assert script.status_code == 401
    assert client.get(SHOP).status_code == 200
