"""Our middlewares beside those of Django and of other packages."""

from __future__ import annotations

import pytest
from django.core.exceptions import BadRequest, ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from sso_common.middleware import AuthenticationMiddleware, SessionMiddleware
from sso_common.sessions import SessionStore
from tests.sso_common.tools import end, session_data, token_of


def test_authentication_without_the_session_middleware_is_an_error(rf: RequestFactory) -> None:
    with pytest.raises(ImproperlyConfigured, match="session"):
        AuthenticationMiddleware(lambda request: HttpResponse())(rf.get("/"))


def test_view_may_replace_the_session_of_its_request(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session = SessionStore()
        request.session["a"] = 1
        return HttpResponse()

    response = SessionMiddleware(view)(rf.get("/"))

    assert dict(SessionStore(response.cookies["__Host-session"].value).items()) == {"a": 1}


def test_interrupted_session_is_a_bad_request_as_in_django(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session = SessionStore()
        request.session.save(must_create=True)
        request.session.delete()
        request.session["a"] = 1
        return HttpResponse()

    with pytest.raises(BadRequest, match="deleted before the request completed"):
        SessionMiddleware(view)(rf.get("/"))


def test_csrf_secret_can_be_kept_in_the_session(visitor: Client, settings) -> None:
    settings.CSRF_USE_SESSIONS = True

    assert visitor.get("/csrf/").status_code == 200
    assert "_csrftoken" in session_data(visitor)


def test_whole_page_cache_keeps_pages_without_a_visitor_only(visitor: Client, settings) -> None:
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]

    site = Client()  # a client loads the middlewares at its first request
    site.cookies = visitor.cookies

    about_visitor, about_nobody = site.get("/user/"), site.get("/")
    assert (about_visitor.content, about_visitor["Vary"]) == (b"anna", "Cookie")
    assert about_visitor["Cache-Control"] == "private"
    assert "max-age" in about_nobody["Cache-Control"]

    end(token_of(visitor))
    assert site.get("/user/").content == b"nobody", "A page from the cache would outlive the sign-out."


def test_a_view_decides_about_caching(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session.get("a")
        return HttpResponse(headers={"Cache-Control": "public, max-age=60"})

    response = SessionMiddleware(view)(rf.get("/"))

    assert response["Cache-Control"] == "public, max-age=60"
