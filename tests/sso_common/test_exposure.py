"""What a site's own code, its error pages and its logs get to see."""

import json
import logging

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from sso_common import conf, testing
from sso_common.cookies import take_token
from sso_common.middleware import SessionMiddleware
from sso_common.tokens import mint_token

LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


@pytest.fixture
def strict_site(settings):
    """A site that closes every view which is not marked as open."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]


def test_an_error_page_never_shows_the_session_token(valkey):
    token = mint_token()
    request = RequestFactory(headers={"cookie": f"{conf.cookie_name()}={token.value}; theme=dark"}).get("/")

    SessionMiddleware(lambda request: None).process_request(request)
    try:
        raise RuntimeError("a bug in a view")
    except RuntimeError as error:
        page = ExceptionReporter(request, type(error), error, error.__traceback__).get_traceback_html()

    assert "theme" in page
    assert token.secret not in page


def test_a_view_never_sees_the_session_token(valkey):
    token = mint_token()
    request = RequestFactory(headers={"cookie": f"{conf.cookie_name()}={token.value}"}).get("/")

    assert take_token(request) == (token, None)

    assert conf.cookie_name() not in request.COOKIES


@pytest.mark.django_db
def test_no_log_line_holds_a_token_or_a_secret(valkey, client, caplog):
    caplog.set_level(logging.DEBUG)
    testing.sign_in(client, "anna")
    value = client.cookies[conf.cookie_name()].value
    client.get("/user/")
    testing.sign_out(client)
    client.get("/user/")
    client.cookies[conf.cookie_name()] = value[:-1]
    client.get("/user/")

    assert "Not signed in" in caplog.text
    assert value.partition(".")[2][:20] not in caplog.text


@pytest.mark.django_db
def test_a_site_that_closes_every_view_still_lets_people_reach_the_portal(valkey, client, strict_site):
    private, hop, health = client.get("/user/"), client.get("/sso/login/"), client.get("/sso/health/")

    assert private["Location"] == "/sso/login/?next=/user/"
    assert hop["Location"].startswith(f"{conf.portal_url()}/sso/v1/enter?")
    assert json.loads(health.content)["status"] == "ok"


@pytest.mark.django_db
def test_a_site_that_closes_every_view_still_has_its_break_glass_form(valkey, strict_site):
    User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")
    client = Client()

    client.post("/admin/login/?local", {"username": "operator", "password": "of-the-tests"})

    assert client.get("/admin/").status_code == 200
