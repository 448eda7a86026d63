"""Views of the plain site: each reads as much of the session as its name says."""

from django.contrib import admin
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView, redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token, rotate_token
from django.shortcuts import redirect
from django.template import Context, Template
from django.urls import include, path
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect


def static_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page that reads nothing")


def user_name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


def identity(request: HttpRequest) -> JsonResponse:
    sso = request.sso  # type: ignore[attr-defined]
    return JsonResponse({"sub": str(sso.sub), "roles": sorted(sso.roles)} if sso else {}, safe=False)


@login_required
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse("private")


@permission_required("auth.delete_user")
def needs_permission(request: HttpRequest, text: str = "") -> HttpResponse:
    return HttpResponse("permitted")


@login_required
def through_login(request: HttpRequest) -> HttpResponse:
    return redirect_to_login("/user/")


def csrf(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request))


def csrf_rotated(request: HttpRequest) -> HttpResponse:
    rotate_token(request)
    return csrf(request)


def put(request: HttpRequest) -> JsonResponse:
    """Set each query parameter in the session, and return the data."""
    for key, value in request.GET.items():
        request.session[key] = value
    return JsonResponse(dict(request.session.items()))


def show(request: HttpRequest) -> JsonResponse:
    return JsonResponse(dict(request.session.items()))


def flush(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse("flushed")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("signed out")


def sign_out_and_in(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sso:login")


def local_login(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(username=request.GET["username"])
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("signed in locally")


def local_login_of_oneself(request: HttpRequest) -> HttpResponse:
    """Some products repeat the login of a user after a change, without a look at ``request.user``."""
    request.session["kept"] = 1
    return local_login(request)


def local_login_and_identity(request: HttpRequest) -> JsonResponse:
    assert request.sso  # type: ignore[attr-defined]
    local_login(request)
    return JsonResponse({"user": request.user.get_username(), "sso": bool(request.sso)})  # type: ignore[attr-defined]


def user_then_local_login(request: HttpRequest) -> HttpResponse:
    assert request.user is not None
    request.user.is_authenticated  # noqa: B018  looks at the session
    return local_login(request)


async def async_auser(request: HttpRequest) -> JsonResponse:
    """Who is signed in before a login, after it, and after a logout."""
    before = (await request.auser()).get_username()
    user = await User.objects.aget(username=request.GET["username"])
    await alogin(request, user, backend="django.contrib.auth.backends.ModelBackend")
    after = (await request.auser()).get_username()
    await alogout(request)
    return JsonResponse([before, after, (await request.auser()).get_username()], safe=False)


def sign_out_and_identity(request: HttpRequest) -> JsonResponse:
    before = sorted(request.sso.roles)  # type: ignore[attr-defined]
    logout(request)
    return JsonResponse({"before": before, "after": bool(request.sso)})  # type: ignore[attr-defined]


def swallowing(request: HttpRequest) -> HttpResponse:
    """Django's ``{% if a and b %}`` swallows every exception and takes it for false."""
    template = Template("{% if user.is_authenticated and True %}in{% else %}out{% endif %}")
    return HttpResponse(template.render(Context({"user": request.user})))


def swallowing_view(request: HttpRequest) -> HttpResponse:
    """A view that takes every exception for "not signed in", and sets a cookie."""
    try:
        name = request.user.get_username()
    except Exception:  # noqa: BLE001  the mistake under test
        name = ""
    response = HttpResponse(name or "nobody")
    response.set_cookie("seen", "1")
    return response


async def async_swallowing_view(request: HttpRequest) -> HttpResponse:
    try:
        name = (await request.auser()).get_username()
    except Exception:  # noqa: BLE001  the mistake under test
        name = ""
    return HttpResponse(name or "nobody")


async def async_user(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


async def async_put(request: HttpRequest) -> JsonResponse:
    for key, value in request.GET.items():
        await request.session.aset(key, value)
    return JsonResponse(dict(await request.session.aitems()))


@login_required
async def async_private(request: HttpRequest) -> HttpResponse:
    return HttpResponse("private")


async def async_sign_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse("signed out")


async def async_local_login(request: HttpRequest) -> HttpResponse:
    user = await User.objects.aget(username=request.GET["username"])
    await alogin(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("signed in locally")


async def async_identity(request: HttpRequest) -> JsonResponse:
    sso = await request.asso()  # type: ignore[attr-defined]
    return JsonResponse({"sub": str(sso.sub)} if sso else {})


urlpatterns = [
    path("", static_page),
    path("user/", user_name),
    path("identity/", identity),
    path("private/", private),
    path("needs-permission/", needs_permission),
    path("needs-permission/<text>/", needs_permission),
    path("through-login/", through_login),
    path("public/", cache_control(max_age=60, public=True)(static_page)),
    path("csrf/", csrf),
    path("csrf/protected/", csrf_protect(csrf)),
    path("csrf/rotated/", csrf_rotated),
    path("put/", put),
    path("show/", show),
    path("flush/", flush),
    path("sign-out/", sign_out),
    path("sign-out-and-in/", sign_out_and_in),
    path("local-login/", local_login),
    path("local-login/own/", local_login_of_oneself),
    path("local-login/identity/", local_login_and_identity),
    path("sign-out/identity/", sign_out_and_identity),
    path("user-then-local-login/", user_then_local_login),
    path("async/auser/", async_auser),
    path("swallowing/", swallowing),
    path("swallowing-view/", swallowing_view),
    path("async/swallowing-view/", async_swallowing_view),
    path("async/user/", async_user),
    path("async/put/", async_put),
    path("async/identity/", async_identity),
    path("async/private/", async_private),
    path("async/sign-out/", async_sign_out),
    path("async/local-login/", async_local_login),
    path("reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view(success_url="/")),
    path("sso/", include("sso_common.urls")),
    path("admin/", admin.site.urls),
]
