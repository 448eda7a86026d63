"""What a site's views, error pages and logs may show, and what ``LoginRequiredMiddleware`` may close."""

import json
import logging

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.views.debug import ExceptionReporter

from sso_common import conf, testing
from sso_common.middleware import SessionMiddleware
from sso_common.tokens import mint_token
from tests.sso_common.tools import request_with, sign_in

LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


@pytest.fixture
def strict_site(settings):
    """A site that closes every view unless it is marked as open."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]


def test_error_page_shows_no_session_token(valkey):
    token = mint_token()
    request = request_with(token)
    request.META["HTTP_COOKIE"] += "; theme=dark"

    SessionMiddleware(lambda request: None).process_request(request)
    try:
        raise RuntimeError("a bug in a view")
    except RuntimeError as error:
        page = ExceptionReporter(request, type(error), error, error.__traceback__).get_traceback_html()

    assert "theme" in page
    assert token.secret not in page


def test_view_finds_no_session_token_in_the_cookies(valkey):
    def view(request):
        return HttpResponse(f"{request.session.token} {request.COOKIES}")

    token = sign_in()
    response = SessionMiddleware(view)(request_with(token))

    assert token.sid in response.text
    assert conf.dsn().cookie_name not in response.text
    assert token.secret not in response.text


@pytest.mark.django_db
def test_log_shows_no_session_token(valkey, client, caplog):
    caplog.set_level(logging.DEBUG)
    testing.sign_in(client, "anna")
    value = client.cookies[conf.dsn().cookie_name].value
    client.get("/user/")
    testing.sign_out(client)
    client.get("/user/")
    client.cookies[conf.dsn().cookie_name] = value[:-1]
    client.get("/user/")

    assert "Not signed in" in caplog.text
    assert value.partition(".")[2][:20] not in caplog.text


@pytest.mark.django_db
def test_site_that_closes_every_view_still_redirects_to_the_portal(valkey, client, strict_site):
    private, login, health = client.get("/user/"), client.get("/sso/login/"), client.get("/sso/health/")

    assert private["Location"] == "/sso/login/?next=/user/"
    assert login["Location"].startswith(f"{conf.dsn().portal_url}/sso/v1/enter?")
    assert json.loads(health.content)["status"] == "ok"


@pytest.mark.django_db
def test_site_that_closes_every_view_still_has_the_local_login_form(valkey, strict_site):
    User.objects.create_superuser("operator", "operator@example.com", "of-the-tests")
    client = Client()

    client.post("/admin/login/?local", {"username": "operator", "password": "of-the-tests"})

    assert client.get("/admin/").status_code == 200
