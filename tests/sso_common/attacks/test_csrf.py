"""Cross-site request forgery: another site signs the victim out."""

from __future__ import annotations

import pytest
from django.test import Client

from sso_common.tokens import SessionToken
from tests.sso_common.tools import has_identity

from .browsers import browser_with_token


@pytest.fixture
def client(victim: SessionToken) -> Client:
    """The victim's browser, at a site that checks CSRF tokens."""
    return browser_with_token(victim.value, Client(enforce_csrf_checks=True))


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ({}, {}),
        ({"csrfmiddlewaretoken": "x" * 64}, {}),
        ({}, {"accept": "application/json"}),
    ],
    ids=["no token", "forged token", "script"],
)
def test_attack_forged_sign_out_is_refused(client: Client, victim: SessionToken, data, headers) -> None:
    assert client.post("/sso/logout/", data, headers=headers).status_code == 403
    assert has_identity(victim)


def test_attack_forged_sign_out_is_refused_without_the_csrf_middleware(
    victim: SessionToken, settings
) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "Csrf" not in each]
    client = browser_with_token(victim.value, Client(enforce_csrf_checks=True))

    assert client.post("/sso/logout/").status_code == 403
    assert has_identity(victim)


def test_attack_forged_sign_out_from_a_sibling_site_is_refused(client: Client, victim: SessionToken) -> None:
    token = client.get("/csrf/", secure=True).text

    response = client.post(
        "/sso/logout/",
        {"csrfmiddlewaretoken": token},
        secure=True,
        headers={"origin": "https://sibling.testserver", "referer": "https://sibling.testserver/"},
    )

    assert response.status_code == 403
    assert has_identity(victim)


def test_sign_out_with_the_sites_csrf_token_works(client: Client, victim: SessionToken) -> None:
    token = client.get("/csrf/").text

    assert client.post("/sso/logout/", {"csrfmiddlewaretoken": token}).status_code == 303
    assert not has_identity(victim)


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_attack_sign_out_by_a_link_or_image_is_refused(victim: SessionToken, method: str) -> None:
    client = browser_with_token(victim.value)

    assert getattr(client, method)("/sso/logout/").status_code == 405
    assert has_identity(victim)
