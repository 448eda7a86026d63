"""When a request saves the session, and what happens if the session ended in the meantime."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from sso_common import store
from sso_common.middleware import SessionMiddleware
from sso_common.sessions import SessionStore
from tests.sso_common.tools import (
    end,
    has_identity,
    names_in_redis,
    record_name,
    request_with,
    session_data,
    sets_no_cookie,
    sign_in,
    site_name,
    token_of,
)


def clear(request: HttpRequest) -> HttpResponse:
    """A view that clears the session without reading it."""
    request.session.clear()
    return HttpResponse()


def test_server_error_saves_nothing() -> None:
    token = sign_in("anna")

    def view(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        return HttpResponse(status=500)

    SessionMiddleware(view)(request_with(token))

    assert dict(SessionStore(token=token).items()) == {}


def test_clear_is_saved_even_if_nothing_read_the_session(visitor: Client) -> None:
    visitor.get("/put/?a=1")

    SessionMiddleware(clear)(request_with(token_of(visitor)))

    assert session_data(visitor) == {}


def test_clear_of_an_ended_session_stores_nothing() -> None:
    token = sign_in("anna")
    end(token)

    response = SessionMiddleware(clear)(request_with(token))

    assert sets_no_cookie(response)
    assert names_in_redis() == set()


# --- sessions that end during the request ----------------------------------------------------


class EndSessionAfterView:
    """Middleware that ends the session between the view and the save, as a sign-out elsewhere would."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.session.get("anything")
        response = self.get_response(request)
        store.client().unlink(record_name(request.session.token), site_name(request.session.token))
        return response


@pytest.fixture
def slow_site(visitor: Client, settings) -> Client:
    """The visitor's browser, at a site where each session ends during the request."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.EndSessionAfterView"]
    slow = Client()
    slow.cookies = visitor.cookies
    return slow


@pytest.mark.parametrize("path", ["/put/?a=2", "/flush/"])
def test_change_to_a_session_that_ended_is_a_bad_request(
    visitor: Client, path: str, slow_site: Client
) -> None:
    response = slow_site.get(path)

    assert response.status_code == 400
    assert sets_no_cookie(response)
    assert not has_identity(token_of(visitor))
    assert not store.client().exists(site_name(token_of(visitor)))


def test_reading_a_session_that_ended_is_no_error(slow_site: Client) -> None:
    assert slow_site.get("/show/").status_code == 200
