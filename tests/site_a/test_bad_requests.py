"""Requests that no browser sends are answered, and are no error of the site."""

from __future__ import annotations

import pytest
from django.test import Client

from sso_common.testing import sign_in

pytestmark = pytest.mark.django_db

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
@pytest.mark.parametrize("path", ["/", "/nowhere/", "/sso/logout/", "/sso/login/", "/admin/"])
def test_attack_body_that_cannot_be_parsed_is_no_server_error(
    path: str, content_type: str, body: bytes
) -> None:
    client = Client(raise_request_exception=False)

    before = client.generic("POST", path, body, content_type)
    sign_in(client, "anna")
    after = client.generic("POST", path, body, content_type)

    assert 300 <= before.status_code < 500
    assert 300 <= after.status_code < 500
