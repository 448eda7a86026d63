"""Authentication middlewares as products bring them along. Each replaces ``request.user``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

Next = Callable[[HttpRequest], HttpResponse]


class Visitor(AnonymousUser):
    """Weblate has a row in the database for visitors who are not signed in."""

    username = "visitor"


class WeblateLike:
    """As in Weblate: not lazy, and visitors are a user of their own."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = self.get_user(request)
        return self.get_response(request)

    def get_user(self, request: Any) -> Any:
        if not hasattr(request, "product_cached_user"):
            user = auth.get_user(request)
            request.product_cached_user = Visitor() if isinstance(user, AnonymousUser) else user
        return request.product_cached_user


class LazyCopy(WeblateLike):
    """As in products that have copied Django's middleware."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = SimpleLazyObject(lambda: self.get_user(request))
        return self.get_response(request)


class OwnCookie:
    """Knows the users of its own cookie only. Everyone else is a visitor."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = Visitor()
        return self.get_response(request)


class LateOwnCookie(OwnCookie):
    """The same, after something has looked at the user."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        bool(request.user.is_authenticated)
        return super().__call__(request)
