"""Pages that work while something else does not: health without a database, pages without templates."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import Client

from sso_common import testing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def test_health_without_a_database_is_a_503_in_json(client: Client) -> None:
    def refuse(*arguments: Any) -> None:
        raise DatabaseError("the server closed the connection")

    with connection.execute_wrapper(refuse):
        response = client.get("/sso/health/")

    assert response.status_code == 503
    assert (response.json()["status"], response.json()["database"]) == ("unavailable", "DatabaseError")


def test_health_reports_a_database_that_answers(client: Client) -> None:
    assert client.get("/sso/health/").json()["database"] == "ok"


@pytest.mark.parametrize("backend", ["django.DjangoTemplates", "dummy.TemplateStrings", None])
def test_pages_do_not_depend_on_the_sites_templates(
    client: Client, settings: Any, backend: str | None
) -> None:
    path = f"django.template.backends.{backend}"
    settings.TEMPLATES = [{"BACKEND": path, "APP_DIRS": False}] if backend else []
    testing.sign_in(client, "mallory", sites={})

    forbidden, problem = client.get("/private/"), Client().get("/sso/login/?returned=1")

    assert (forbidden.status_code, problem.status_code) == (403, 403)
    assert "You don&#x27;t have access to this page" in forbidden.text.replace("'", "&#x27;")
    assert "We couldn" in problem.text


def test_unavailable_page_does_not_depend_on_the_sites_templates(
    client: Client, settings: Any, valkey: Any
) -> None:
    settings.TEMPLATES = []
    testing.sign_in(client, "anna")
    valkey.kill()

    response = client.get("/user/")

    assert response.status_code == 503
    assert "Temporarily unavailable" in response.text
