"""The page that both projects serve. It reads the user and a session value, and renders a template."""

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

TEMPLATE = "benchmarks/page.html"


def page(request: HttpRequest) -> HttpResponse:
    return render(request, TEMPLATE, {"user": request.user, "theme": request.session["theme"]})


async def async_page(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return render(request, TEMPLATE, {"user": user, "theme": await request.session.aget("theme")})


urlpatterns = [path("page/", page), path("async-page/", async_page)]
if apps.is_installed("sso_common"):
    urlpatterns.append(path("sso/", include("sso_common.urls")))
