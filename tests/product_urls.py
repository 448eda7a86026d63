"""URLs of a product that has login and account pages of its own, below ``tests.urls``."""

from typing import Any

from django.conf.urls.i18n import i18n_patterns
from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template import engines
from django.urls import include, path, re_path, reverse_lazy
from django.views import View
from django.views.generic import FormView, RedirectView

from tests import urls

FORM = "a form of the product"


class ShopLogin(LoginView):
    """Django's login view with a start page of its own, like Wagtail's and Oscar's."""

    def get_success_url(self) -> str:
        return self.get_redirect_url() or "/shop/"

    def render_to_response(self, context: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(FORM)


class EventLogin(View):
    """Knows nothing of Django's, like pretalx's; leads users who are signed in to a page of its own."""

    redirect_field_name = "back"

    def get(self, request: HttpRequest, event: str) -> HttpResponse:
        return redirect(f"/{event}/mine/") if request.user.is_authenticated else HttpResponse(FORM)

    def post(self, request: HttpRequest, event: str) -> HttpResponse:
        return HttpResponse(FORM)


class ChangePassword(FormView):
    form_class = PasswordChangeForm

    def get(self, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(FORM)

    post = get


class PlainLogin(FormView):
    form_class = AuthenticationForm

    def get(self, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(FORM)

    post = get


def register(request: HttpRequest) -> HttpResponse:
    return HttpResponse(FORM)


async def async_form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(FORM)


@permission_required("auth.delete_user", login_url=reverse_lazy("shop_login"))
def shop(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the shop's office")


@login_required(login_url="/event/login", redirect_field_name="back")
def mine(request: HttpRequest, event: str) -> HttpResponse:
    return HttpResponse("mine")


def split_query(request: HttpRequest) -> HttpResponse:
    """Like pretalx, which puts the page's query beside its path."""
    return HttpResponseRedirect(f"/shop/login/?next={request.path}&{request.GET.urlencode()}")


def broken_next(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/shop/login/?next=//[")


def with_a_referrer(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(f"/shop/login/?from={request.path}&next=/user/")


def script_that_sends_back(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<script>location = '/shop/login/?next=/shop/script/'</script>")


def links(request: HttpRequest) -> HttpResponse:
    source = "{% load sso %}{% portal_url %} {% portal_url page %}"
    template = engines["django"].from_string(source)
    return HttpResponse(template.render({"page": request.GET["page"]}, request))


event = [path("login/", EventLogin.as_view(), name="login"), path("mine/", mine, name="mine")]

urlpatterns = [
    path("shop/", shop, name="shop"),
    path("shop/login/", ShopLogin.as_view(), name="shop_login"),
    path("shop/password/", ChangePassword.as_view(), name="shop_password"),
    path("shop/register/", register, name="shop_register"),
    path("shop/split/", split_query),
    path("shop/broken/", broken_next),
    path("shop/referrer/", login_required(with_a_referrer)),
    path("shop/script/", script_that_sends_back),
    path("shop/links/", links),
    path("async/login/", async_form, name="async_login"),
    path("old/login/", PlainLogin.as_view()),
    re_path(r"^older/(?P<part>\w+)/signin/$", ShopLogin.as_view()),
    path("office/", AdminSite("office").urls),
    path("elsewhere/login/", RedirectView.as_view(url="/sso/login/")),
    *i18n_patterns(path("konto/login/", register, name="konto_login")),
    *urls.urlpatterns,
    path("<slug:event>/", include((event, "event"))),
    path("<path:anything>/gate/", ShopLogin.as_view(), name="gate"),
]
