"""The URL patterns of a site, and which of them are login pages and pages for passwords and accounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern

from sso_common import views
from sso_common.pages import LOGIN

#: Views of Django and of common products, by their dotted paths, because few sites can import all of them.
CLASSES: Final = {
    "django.contrib.auth.views.LoginView": LOGIN,
    "django.contrib.auth.views.PasswordChangeView": "password",
    "django.contrib.auth.views.PasswordResetView": "reset",
    "allauth.account.views.LoginView": LOGIN,
    "allauth.account.views.RequestLoginCodeView": LOGIN,
    "allauth.account.views.SignupView": "signup",
    "allauth.account.views.PasswordChangeView": "password",
    "allauth.account.views.PasswordSetView": "password",
    "allauth.account.views.PasswordResetView": "reset",
    "allauth.account.views.EmailView": "email",
    "django_registration.views.RegistrationView": "signup",
    "oscar.apps.customer.views.AccountAuthView": LOGIN,
    "oscar.apps.customer.views.AccountRegistrationView": "signup",
    "oscar.apps.customer.views.ChangePasswordView": "password",
    "pretalx.common.views.generic.GenericLoginView": LOGIN,
    "pretalx.common.views.generic.GenericResetView": "reset",
    "two_factor.views.core.LoginView": LOGIN,
}
#: The end of the name, or the last part of the path (if it has no arguments), of other views.
ENDS: Final = {
    r"(log|sign)[-_]?in": LOGIN,
    r"register|registration|sign[-_]?up": "signup",
    r"change[-_]?password|password[-_]?change|set[-_]?password|password[-_]?set": "password",
    r"reset[-_]?password|password[-_]?reset|(forgot|lost)[-_]?password": "reset",
}
#: Of Django's admin, by the names of their URL patterns.
ADMIN: Final = {"login": LOGIN, "password_change": "password"}
#: No pages: they redirect, or answer scripts.
NO_PAGES: Final = {"django.views.generic.base.RedirectView", "rest_framework.views.APIView"}


@dataclass(frozen=True)
class Pattern:
    """A URL pattern: its name with namespaces, or else the view's dotted path; its path if that is fixed."""

    name: str
    path: str | None
    view: Callable[..., Any]
    is_named: bool

    @property
    def entry(self) -> str:
        """What to write in ``SSO_LOGIN_PAGES`` or ``SSO_ACCOUNT_PAGES``."""
        return self.name if self.is_named or self.path is None else self.path

    @property
    def view_class(self) -> type:
        """The class of a class-based view, else ``object``."""
        view = self.view
        while not hasattr(view, "view_class") and hasattr(view, "__wrapped__"):
            view = view.__wrapped__
        found = getattr(view, "view_class", None) or getattr(view, "cls", None)  # the latter: REST framework
        return found if isinstance(found, type) else object

    @property
    def admin_site(self) -> type | None:
        """The class of the admin site to which the view belongs, or None."""
        site = getattr(self.view, "admin_site", None) or getattr(self.view, "__self__", None)
        return type(site) if "django.contrib.admin.sites.AdminSite" in class_paths(type(site)) else None


def patterns(
    resolver: URLResolver | None = None, names: str = "", route: str | None = "/"
) -> Iterator[Pattern]:
    """The patterns of the URLconf, without those of ``sso_common``."""
    for each in (resolver or get_resolver()).url_patterns:
        fixed = fixed_route(each.pattern)
        path = None if route is None or fixed is None else route + fixed
        if isinstance(each, URLPattern):
            name = names + (each.name or each.lookup_str)
            yield Pattern(name, path, each.callback, is_named=bool(each.name))
        elif each.app_name != "sso":
            yield from patterns(each, f"{names}{each.namespace}:" if each.namespace else names, path)


def fixed_route(pattern: Any) -> str | None:
    """What a part of a route adds to the path, without the language, or None if it has arguments."""
    if isinstance(pattern, LocalePrefixPattern):
        return ""
    text = str(pattern).removeprefix("^").removesuffix("$")
    return text if re.fullmatch(r"[\w/.~-]*", text) else None


def kind_of(pattern: Pattern) -> str:
    """Which page of the portal could replace the page (``LOGIN``, "password", ...), or ""."""
    if pattern.admin_site is not None:
        is_ours = "sso_common.admin.SSOAdminSite" in class_paths(pattern.admin_site)
        return "" if is_ours else ADMIN.get(pattern.name.rpartition(":")[2], "")
    paths = class_paths(pattern.view_class)
    if issubclass(pattern.view_class, views.LoginView) or paths & NO_PAGES:
        return ""
    return next((CLASSES[path] for path in CLASSES.keys() & paths), None) or kind_of_names(pattern)


def class_paths(class_: type) -> set[str]:
    """The dotted paths of a class and its bases. By name, because not every site can import them."""
    return {f"{each.__module__}.{each.__qualname__}" for each in class_.__mro__}


def kind_of_names(pattern: Pattern) -> str:
    """What the name or the path tells of a view that nothing else is known of."""
    if pattern.path is None:
        return ""
    name = pattern.name if pattern.is_named else ""
    for expression, kind in ENDS.items():
        if re.search(rf"/({expression})/?$", pattern.path) or re.search(rf"(^|[^a-z])({expression})$", name):
            return kind
    return ""
