"""APIs built with Django REST framework, django-ninja and Strawberry, each as its documentation shows."""

from __future__ import annotations

import ninja
import strawberry
from django.contrib.auth import aget_user, get_user
from django.http import HttpRequest
from django.urls import include, path
from ninja.security import django_auth, django_auth_is_staff
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from strawberry.django.views import AsyncGraphQLView, GraphQLView

# --- Django REST framework --------------------------------------------------------------------


@api_view(["GET", "POST"])
@authentication_classes([SessionAuthentication])
@permission_classes([IsAuthenticated])
def rest(request: Request) -> Response:
    return Response({"user": request.user.get_username(), "roles": sorted(request.sso.roles)})


# --- django-ninja -----------------------------------------------------------------------------

api = ninja.NinjaAPI(auth=django_auth)


@api.get("/")
@api.post("/")
def of_ninja(request: HttpRequest) -> dict[str, object]:
    return {"user": request.auth.get_username(), "roles": sorted(request.sso.roles)}  # type: ignore[attr-defined]


@api.get("/staff/", auth=django_auth_is_staff)
def for_staff(request: HttpRequest) -> str:
    return request.user.get_username()


# --- Strawberry -------------------------------------------------------------------------------


@strawberry.type
class Query:
    @strawberry.field
    def me(self, info: strawberry.Info) -> str:
        return get_user(info.context.request).get_username()

    @strawberry.field
    async def me_async(self, info: strawberry.Info) -> str:
        asked = await aget_user(info.context.request)
        assert asked == await info.context.request.auser()
        return asked.get_username()


schema = strawberry.Schema(Query)

urlpatterns = [
    path("rest/", rest),
    path("ninja/", api.urls),
    path("graphql/", GraphQLView.as_view(schema=schema)),
    path("async/graphql/", AsyncGraphQLView.as_view(schema=schema)),
    path("", include("tests.urls")),
]
