"""Requests that no browser sends are answered, and are no error of the site."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from .people import HOST, browser, person, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

BODIES = [
    ("multipart/form-data; boundary=", b""),
    ("multipart/form-data; boundary=", b"x"),
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=\xff", b"x"),
    ("multipart/form-data; boundary=a", b"--a"),
    ("application/x-www-form-urlencoded", b"=&" * 5000),
    ("application/x-www-form-urlencoded; charset=nope", b"a=%ff"),
    ("application/json", b"[" * 100_000),
]


@pytest.mark.parametrize(("content_type", "body"), BODIES)
@pytest.mark.parametrize(
    "path",
    ["/", "/nowhere/", "/accounts/login/", "/sso/v1/enter", "/sso/v1/users", "/sso/logout/", "/admin/"],
)
def test_attack_body_that_cannot_be_parsed_is_no_server_error(
    path: str, content_type: str, body: bytes
) -> None:
    client = Client(raise_request_exception=False, headers={"host": HOST})

    response = client.generic("POST", path, body, content_type)

    assert response.status_code < 500


@pytest.mark.parametrize("key", ["1", "x", "a/b", "\x00", "9" * 50])
def test_attack_admin_shortcut_to_no_page_is_no_server_error(key: str) -> None:
    person(is_staff=True)
    client = browser(raise_request_exception=False)
    sign_in(client)

    kinds = [each.pk for each in ContentType.objects.all()]
    statuses = {client.get(f"/admin/r/{kind}/{quote(key)}/").status_code for kind in [*kinds, 10**9, 10**30]}

    assert statuses == {404}
