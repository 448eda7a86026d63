"""Adoption: an anonymous session moves into the signed-in one at the first request after sign-in."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY

from sso_common import flows, store
from sso_common.adoption import NEVER_ADOPTED, OVERRIDDEN_SID
from sso_common.sessions import SessionStore
from sso_common.tokens import SessionToken
from tests.sso_common.tools import anonymous_name, counted_trips, end, sign_in, site_name

from .variants import ask_then, save_anonymous


def test_anonymous_data_moves_into_the_signed_in_session(token: SessionToken) -> None:
    key = save_anonymous(cart=["mug"])

    session = SessionStore(key, token=token)

    assert session["cart"] == ["mug"]
    assert session.is_cookie_stale
    assert dict(SessionStore(token=token).items()) == {"cart": ["mug"]}
    assert not store.client().exists(anonymous_name(key))


def test_adoption_does_not_overwrite_the_signed_in_session(token: SessionToken) -> None:
    before = SessionStore(token=token)
    before["cart"] = ["old"]
    before.save()

    session = SessionStore(save_anonymous(cart=["new"], seen=1), token=token)

    assert dict(session.items()) == {"cart": ["old"], "seen": 1}
    assert dict(SessionStore(token=token).items()) == {"cart": ["old"], "seen": 1}


def test_adopted_value_can_be_changed_in_the_same_request(token: SessionToken) -> None:
    session = SessionStore(save_anonymous(cart=["mug"], gone=1), token=token)

    session["cart"] = ["mug", "plate"]
    del session["gone"]
    session.save()

    assert dict(SessionStore(token=token).items()) == {"cart": ["mug", "plate"]}


def test_adoption_costs_two_more_round_trips_once(token: SessionToken) -> None:
    key = save_anonymous(cart=["mug"])
    SessionStore(save_anonymous(a=1), token=sign_in("bert")).resolve()  # Redis caches the script

    with counted_trips() as first:
        SessionStore(key, token=token).resolve()
    with counted_trips() as second:
        SessionStore(key, token=token).resolve()

    assert (len(first), len(second)) == (4, 1)


def test_slow_adoption_does_not_undo_that_of_a_faster_request(token: SessionToken) -> None:
    key = save_anonymous(cart=["mug"])

    def adopt_and_save() -> None:
        fast = SessionStore(key, token=token)
        fast["cart"] = ["mug", "plate"]
        fast.save()

    slow = SessionStore(key, token=token)
    flows.run(slow.resolve_flow(), ask_then(adopt_and_save))

    assert slow.is_cookie_stale
    assert SessionStore(token=token)["cart"] == ["mug", "plate"]


def test_adoption_by_a_session_that_ends_keeps_the_anonymous_session(token: SessionToken) -> None:
    key = save_anonymous(cart=["mug"])

    session = SessionStore(key, token=token)
    flows.run(session.resolve_flow(), ask_then(lambda: end(token)))

    assert not session.is_cookie_stale
    assert dict(SessionStore(key).items()) == {"cart": ["mug"]}
    assert not store.client().exists(site_name(token))


def test_unknown_anonymous_key_leaves_a_stale_cookie(token: SessionToken) -> None:
    session = SessionStore("expired-or-planted-key", token=token)

    assert dict(session.items()) == {}
    assert session.is_cookie_stale


@pytest.mark.parametrize("name", sorted(NEVER_ADOPTED - {SESSION_KEY, OVERRIDDEN_SID}))
def test_attack_planted_key_is_never_adopted(token: SessionToken, name: str) -> None:
    session = SessionStore(save_anonymous(**{name: 60, "cart": [1]}), token=token)

    assert dict(session.items()) == {"cart": [1]}
    assert dict(SessionStore(token=token).items()) == {"cart": [1]}


def test_nothing_that_a_local_login_has_left_is_adopted(token: SessionToken) -> None:
    session = SessionStore(save_anonymous(**{OVERRIDDEN_SID: "of ben", "cart": [1]}), token=token)

    assert dict(session.items()) == {}
    assert session.is_cookie_stale


def test_session_cleared_before_the_first_read_adopts_nothing(token: SessionToken) -> None:
    before = SessionStore(token=token)
    before["a"] = 1
    before.save()
    session = SessionStore(save_anonymous(cart=[1]), token=token)

    session.clear()
    session.save()

    assert dict(SessionStore(token=token).items()) == {}


# --- SSO_ADOPT_SESSION -----------------------------------------------------------------------


def adopt_cart_only(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    return {"cart": anonymous["cart"] + [len(signed_in)]}


def clear_both_and_adopt_nothing(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    anonymous.clear()
    signed_in.clear()
    return {}


def test_hook_chooses_what_is_adopted(token: SessionToken, settings) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.adopt_cart_only"

    session = SessionStore(save_anonymous(cart=[1], tracking="x"), token=token)

    assert dict(session.items()) == {"cart": [1, 0]}


def test_hook_that_adopts_nothing_cannot_damage_the_session(token: SessionToken, settings) -> None:
    settings.SSO_ADOPT_SESSION = f"{__name__}.clear_both_and_adopt_nothing"
    before = SessionStore(token=token)
    before["kept"] = 1
    before.save()
    key = save_anonymous(cart=[1])

    session = SessionStore(key, token=token)

    assert dict(session.items()) == {"kept": 1}
    assert not store.client().exists(anonymous_name(key))
