"""Session fixation: the attacker plants an anonymous session in the victim's browser."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client

from sso_common import store, testing
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.sso_common.tools import anonymous_name, end, has_identity, token_of

from .browsers import COOKIE, browser_with_key


def plant(**data: object) -> str:
    """Make an anonymous session as the attacker, and return its key."""
    session = SessionStore()
    session.update(data)
    session.save()
    return session.session_key


def victim_with(key: str) -> tuple[Client, SessionToken]:
    """The browser of a victim who signs in with a planted session."""
    client = browser_with_key(key)
    testing.sign_in(client, "anna")
    return client, token_of(client)


def test_attack_planted_local_login_signs_no_user_in() -> None:
    attacker = Client()
    attacker.force_login(User.objects.create_user("mallory"))

    client, _token = victim_with(attacker.cookies[COOKIE].value)

    assert client.get("/user/").content == b"anna"  # adopts the session
    assert client.get("/user/").content == b"anna"


def test_attack_planted_csrf_secret_is_not_adopted(settings) -> None:
    settings.CSRF_USE_SESSIONS = True
    secret = "a" * 32
    client, token = victim_with(plant(_csrftoken=secret))
    client.handler.enforce_csrf_checks = True

    client.get("/csrf/")
    response = client.post("/sso/logout/", headers={"x-csrftoken": secret})

    assert response.status_code == 403
    assert has_identity(token)
    assert SessionStore(token=token)["_csrftoken"] != secret


def test_attack_planted_expiry_is_not_adopted() -> None:
    client, token = victim_with(plant(_session_expiry=60, cart=["bait"]))

    client.get("/user/")

    assert dict(SessionStore(token=token).items()) == {"cart": ["bait"]}


def test_attack_planted_key_that_was_never_issued_is_replaced() -> None:
    planted = "planted" * 5
    client = browser_with_key(planted)

    client.get("/put/?cart=mug")

    assert client.cookies[COOKIE].value != planted
    assert not store.client().exists(anonymous_name(planted))


def test_attack_planted_key_beside_an_ended_session_is_replaced() -> None:
    planted = "planted" * 5
    client, token = victim_with(planted)
    end(token)

    client.get("/put/?cart=mug")

    assert client.cookies[COOKIE].value != planted
    assert not store.client().exists(anonymous_name(planted))


def test_attack_planted_key_shows_nothing_after_the_victim_signs_in() -> None:
    key = plant(cart=["bait"])
    client, _token = victim_with(key)
    client.get("/put/?card=4111")

    assert browser_with_key(key).get("/show/").json() == {}


def test_attack_planted_key_opens_no_local_login(operator: User) -> None:
    key = plant(bait=1)
    client = browser_with_key(key)

    client.get("/local-login/?username=operator")

    assert client.get("/user/").content == b"operator"
    assert browser_with_key(key).get("/user/").content == b"nobody"


def test_attack_login_csrf_gives_the_attacker_no_local_login(operator: User) -> None:
    """The victim's anonymous data moves to the attacker's session, but no local rights do."""
    client = Client()
    client.force_login(operator)
    testing.sign_in(client, "mallory")

    assert client.get("/user/").content == b"mallory"
    assert client.get("/admin/").status_code == 403
