"""Guessing passwords: one limit for an account, which does not lock its user out."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.test import override_settings as override

from .people import PASSWORD, browser, is_signed_in, person, sign_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("anna"),
]

#: Where allauth finds the address of a client in these tests.
ADDRESS = "X-Real-IP"
STRANGER, HOME = {ADDRESS: "192.0.2.1"}, {ADDRESS: "198.51.100.7"}
LIMIT = 5
TOO_MANY = "Too many failed login attempts"


@pytest.fixture(autouse=True)
def _addresses() -> Any:
    with override(ALLAUTH_TRUSTED_CLIENT_IP_HEADER=ADDRESS):
        yield


@pytest.fixture
def anna() -> Any:
    return person()


def browser_at(place: dict[str, str]) -> Client:
    client = browser()
    client.defaults |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in place.items()}
    return client


def guess(client: Client, login: str = "anna", times: int = 1, **extra: Any) -> str:
    form = {"login": login, "password": "wrong"}
    return [client.post("/accounts/login/", form, **extra).text for _ in range(times)][-1]


def test_attack_other_ports_in_the_host_header_give_no_more_guesses() -> None:
    stranger = browser_at(STRANGER)

    answers = [
        guess(stranger, headers={"host": f"portal.sso.localhost:{4000 + number}"}) for number in range(7)
    ]

    assert [TOO_MANY in answer for answer in answers] == [False] * LIMIT + [True] * 2


def test_attack_other_spellings_give_no_more_guesses() -> None:
    stranger = browser_at(STRANGER)
    logins = ["anna", "ANNA", "anna@example.com", "Anna@Example.com", " anna", "anna@EXAMPLE.com", "aNNa"]

    answers = [guess(stranger, login) for login in logins]

    assert [TOO_MANY in answer for answer in answers] == [False] * LIMIT + [True] * 2


def test_attack_guesses_from_many_addresses_are_limited_together() -> None:
    answers = [guess(browser_at({ADDRESS: f"192.0.2.{number}"})) for number in range(7)]

    assert [TOO_MANY in answer for answer in answers] == [False] * LIMIT + [True] * 2


@pytest.mark.parametrize(
    ("path", "field", "more"),
    [
        ("/accounts/reauthenticate/", "password", {}),
        (
            "/accounts/password/change/",
            "oldpassword",
            {"password1": "a-new-passphrase", "password2": "a-new-passphrase"},
        ),
    ],
)
def test_attack_guesses_inside_a_session_count_as_failed_sign_ins(
    path: str, field: str, more: dict[str, str]
) -> None:
    client = browser_at(HOME)
    sign_in(client)

    for number in range(LIMIT):
        assert client.post(path, {field: f"wrong-{number}", **more}).status_code == 200
    client.post("/accounts/logout/")

    assert TOO_MANY in sign_in(client).text


def test_right_password_still_works_for_a_change() -> None:
    client = browser_at(HOME)
    sign_in(client)
    new = {"password1": "a-new-passphrase", "password2": "a-new-passphrase"}

    response = client.post("/accounts/password/change/", {"oldpassword": PASSWORD, **new})

    assert response.status_code == 302
    assert sign_in(browser_at(HOME), password="a-new-passphrase").status_code == 302


def test_strangers_do_not_lock_out_a_browser_from_which_the_user_has_signed_in() -> None:
    own = browser_at(HOME)
    sign_in(own)
    own.post("/accounts/logout/")
    assert TOO_MANY in guess(browser_at(STRANGER), times=LIMIT + 1)

    own.defaults["HTTP_X_REAL_IP"] = "203.0.113.9"
    sign_in(own)

    assert is_signed_in(own)


def test_strangers_do_not_lock_out_a_network_from_which_the_user_has_signed_in() -> None:
    sign_in(browser_at(HOME))
    assert TOO_MANY in guess(browser_at(STRANGER), times=LIMIT + 1)
    another = browser_at(HOME)

    sign_in(another)

    assert is_signed_in(another)


def test_strangers_lock_out_other_places_until_the_limit_ends() -> None:
    assert TOO_MANY in guess(browser_at(STRANGER), times=LIMIT + 1)

    assert TOO_MANY in sign_in(browser_at(HOME)).text


def test_attack_browser_of_another_user_gives_no_more_guesses() -> None:
    person("mallory")
    mallory = browser_at(STRANGER)
    sign_in(mallory, "mallory")
    mallory.post("/accounts/logout/")

    answers = [guess(client) for client in [mallory, browser_at(HOME)] * 4]

    assert [TOO_MANY in answer for answer in answers] == [False] * LIMIT + [True] * 3


def test_known_browser_has_a_limit_too() -> None:
    own = browser_at(HOME)
    sign_in(own)
    own.post("/accounts/logout/")

    assert TOO_MANY in guess(own, times=LIMIT + 1)


def test_unknown_names_are_limited() -> None:
    assert TOO_MANY in guess(browser_at(STRANGER), "nobody", times=LIMIT + 1)
