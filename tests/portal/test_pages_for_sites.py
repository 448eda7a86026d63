"""``/sso/v1/page/…``: where sites send browsers in place of account pages of their own."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from portal.registry import services as registry
from portal.sessions.views import PAGES
from sso_common.pages import PORTAL_PAGES

from .people import PASSWORD, browser, person, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "https://a.sso.localhost/wiki/?page=2"


@pytest.fixture(autouse=True)
def _site() -> None:
    registry.register("site_a", "https://a.sso.localhost", title="Notes")


def test_portal_has_every_page_that_sites_know() -> None:
    assert set(PAGES) == set(PORTAL_PAGES)


@pytest.mark.parametrize("name", PORTAL_PAGES)
def test_page_opens_for_users_and_keeps_the_way_back(name: str) -> None:
    person()
    client = browser()
    sign_in(client)

    response = client.get(f"/sso/v1/page/{name}", {"next": SITE})

    target = urlsplit(response["Location"])
    assert parse_qs(target.query) == {"next": [SITE]}
    assert not target.netloc
    page = client.get(response["Location"])
    # Users who are signed in need no sign-up.
    assert page.status_code == (302 if name == "signup" else 200)
    assert name != "signup" or page["Location"] == SITE


@pytest.mark.parametrize("name", PORTAL_PAGES)
def test_page_opens_or_leads_to_the_sign_in_for_visitors(name: str) -> None:
    page = browser().get(f"/sso/v1/page/{name}", {"next": SITE}, follow=True)

    assert page.status_code == 200


def test_changed_password_leads_back_to_the_site() -> None:
    person()
    client = browser()
    sign_in(client)
    form = client.get("/sso/v1/page/password", {"next": SITE}, follow=True)
    assert f'value="{SITE}"' in form.text

    new = "another battery staple"
    data = {"oldpassword": PASSWORD, "password1": new, "password2": new, "next": SITE}
    response = client.post("/accounts/password/change/", data)

    assert (response.status_code, response["Location"]) == (302, SITE)


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "https://b.sso.localhost/"])
def test_attack_open_redirect_through_a_page(target: str) -> None:
    response = browser().get("/sso/v1/page/password", {"next": target})

    assert response["Location"] == "/accounts/password/change/"


@pytest.mark.parametrize("name", ["admin", "login", "password/", "..", "%00"])
def test_other_names_are_no_pages(name: str) -> None:
    assert browser().get(f"/sso/v1/page/{name}").status_code == 404


def test_page_accepts_no_forms() -> None:
    assert browser().post("/sso/v1/page/password").status_code == 405
