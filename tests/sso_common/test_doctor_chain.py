"""The doctor sends a signed-in user's request through the site's real middlewares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.test import Client

from sso_common import conf, store, testing
from sso_common.doctor import Level, chain
from sso_common.doctor.findings import Finding
from sso_common.models import Account
from sso_common.sessions import SessionStore
from tests.sso_common.products import middleware as products

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

SESSION = "sso_common.middleware.SessionMiddleware"
AUTH = "sso_common.middleware.AuthenticationMiddleware"
LINES = ["middleware.reached", "middleware.session", "middleware.user", "middleware.response"]


def examine(hosts: list[str] | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in chain.middlewares(hosts or [])}


def failures(found: dict[str, Finding]) -> list[str]:
    return [check for check, finding in found.items() if finding.level is not Level.OK]


def insert(settings: Any, path: str, *, after: str | None) -> None:
    """Put a middleware after another one, or first."""
    at = 0 if after is None else settings.MIDDLEWARE.index(after) + 1
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:at], path, *settings.MIDDLEWARE[at:]]


# --- middlewares with a mistake --------------------------------------------------------------

Next = Callable[[HttpRequest], HttpResponse]


def drop_cookies(get_response: Next) -> Next:
    def middleware(request: HttpRequest) -> HttpResponse:
        request.COOKIES.clear()
        return get_response(request)

    return middleware


def replace_session(get_response: Next) -> Next:
    def middleware(request: HttpRequest) -> HttpResponse:
        request.session = {}  # type: ignore[assignment]
        return get_response(request)

    return middleware


def require_login(get_response: Next) -> Next:
    """Needs the user, and comes before the middleware that knows one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not getattr(request, "user", AnonymousUser()).is_authenticated:
            return HttpResponseRedirect("/sso/login/?next=/")
        return get_response(request)

    return middleware


def close_for_maintenance(get_response: Next) -> Next:
    return lambda request: HttpResponse(status=503)


def fail_for_users(get_response: Next) -> Next:
    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            raise LookupError("secret")
        return get_response(request)

    return middleware


def set_the_sso_cookie(get_response: Next) -> Next:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.delete_cookie(conf.dsn().cookie_name)
        return response

    return middleware


def remove_vary(get_response: Next) -> Next:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        del response["Vary"]
        del response["Cache-Control"]
        return response

    return middleware


class AsynchronousOwnUser(products.OwnCookie):
    def __call__(self, request: Any) -> HttpResponse:
        async def nobody() -> AnonymousUser:
            return AnonymousUser()

        request.auser = nobody
        return self.get_response(request)


def count_visits(get_response: Next) -> Next:
    """Writes to the database and to the session."""

    def middleware(request: HttpRequest) -> HttpResponse:
        User.objects.filter(pk=request.user.pk).update(first_name="seen")
        User.objects.create_user("visitor of the day")
        request.session["visits"] = 1
        request.session.save()
        return get_response(request)

    return middleware


# --- what the doctor says --------------------------------------------------------------------


@pytest.mark.parametrize("has_users", [True, False])
def test_middlewares_of_the_readme_are_ok(client: Client, has_users: bool) -> None:
    if has_users:
        testing.sign_in(client, "anna")
        client.get("/user/")

    found = examine()

    assert [*found] == LINES
    assert failures(found) == []


@pytest.mark.parametrize("class_", [products.WeblateLike, products.LazyCopy])
def test_product_that_asks_django_is_ok(settings: Any, class_: type) -> None:
    insert(settings, f"{class_.__module__}.{class_.__name__}", after=AUTH)

    assert failures(examine()) == []


@pytest.mark.parametrize("class_", [products.OwnCookie, products.LateOwnCookie])
def test_middleware_that_replaces_the_user_is_named(settings: Any, class_: type) -> None:
    insert(settings, f"{class_.__module__}.{class_.__name__}", after=AUTH)

    found = examine()

    assert failures(found) == ["middleware.user"]
    assert found["middleware.user"].level is Level.FAILURE
    assert "not signed in in request.user" in found["middleware.user"].message
    assert "tests.sso_common.products.middleware.OwnCookie.__call__" in found["middleware.user"].message
    assert "get_user(request)" in found["middleware.user"].fix


def test_replaced_auser_is_reported(settings: Any) -> None:
    insert(settings, f"{__name__}.AsynchronousOwnUser", after=AUTH)

    assert "request.auser()" in examine()["middleware.user"].message


@pytest.mark.parametrize(
    ("mistake", "after", "check", "message"),
    [
        ("drop_cookies", None, "middleware.session", "does not reach the session"),
        ("replace_session", AUTH, "middleware.session", "replace_session.<locals>.middleware"),
        ("require_login", None, "middleware.reached", "redirects a signed-in user to the login page"),
        ("close_for_maintenance", AUTH, "middleware.reached", "with 503"),
        ("fail_for_users", AUTH, "middleware.reached", "LookupError in test"),
        ("set_the_sso_cookie", None, "middleware.response", "sets or deletes the SSO cookie"),
        ("remove_vary", None, "middleware.response", "Vary"),
    ],
)
def test_mistake_of_a_middleware_is_reported(
    settings: Any, mistake: str, after: str | None, check: str, message: str
) -> None:
    insert(settings, f"{__name__}.{mistake}", after=after)

    found = examine()

    assert check in failures(found)
    assert message.replace("in test", f"in {__name__}") in found[check].message
    assert found[check].fix
    assert "secret" not in str(found)


def test_missing_middleware_of_ours_is_reported(settings: Any) -> None:
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != AUTH]

    assert "no request.user" in examine()["middleware.user"].message


def test_host_of_a_site_behind_tls_is_served(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", *settings.MIDDLEWARE]

    assert failures(examine(["www.testserver"])) == []


def test_doctor_changes_nothing(client: Client, settings: Any) -> None:
    testing.sign_in(client, "anna")
    client.get("/user/")
    insert(settings, f"{__name__}.count_visits", after=AUTH)
    in_redis = {name: store.client().dump(name) for name in store.client().keys("*")}

    assert failures(examine()) == []

    assert list(User.objects.values_list("username", "first_name")) == [("anna", "")]
    assert Account.objects.count() == 1
    assert {name: store.client().dump(name) for name in store.client().keys("*")} == in_redis


def test_attack_token_of_the_doctor_opens_a_session(settings: Any) -> None:
    """No other process may take it for a session, and no other session of this process either."""
    simulations = []
    real = chain.simulate
    chain.simulate = lambda host: simulations.append(real(host)) or simulations[0]  # type: ignore[func-returns-value]
    try:
        assert failures(examine()) == []
    finally:
        chain.simulate = real

    assert SessionStore(token=simulations[0].token).identity is None
