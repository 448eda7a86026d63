"""The portal's session engine: how a session becomes a signed-in one, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user, login, logout
from django.contrib.auth.signals import user_logged_in
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from portal.audit.models import AuditEvent
from portal.sessions import ending, following, issuing
from portal.sessions.engine import SessionStore
from portal.sessions.middleware import PortalSessionMiddleware
from portal.sessions.models import EndReason, Session
from sso_common import sessions, store
from sso_common.exceptions import DatabaseUnavailable, StoreUnavailable
from sso_common.middleware import AuthenticationMiddleware
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer

from .people import HOST, browser, is_live, is_signed_in, person, sign_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anna() -> Any:
    return person()


def reopen(token: SessionToken, session: SessionStore) -> SessionStore:
    """The session of another request of the same browser."""
    again = SessionStore(token=token)
    again.portal_token = session.portal_token
    return again


def enter(session: SessionStore, user: Any) -> SessionToken:
    """Sign a user in, with a session of their own."""
    issued = issuing.issue(user, amr=["pwd"], remember=False)
    session.enter(issued)
    session.portal_token = issued.portal_token
    return issued.token


def test_database_that_does_not_answer_is_unavailable_and_nobody_is_signed_out(anna: Any) -> None:
    session = SessionStore()
    token = enter(session, anna)
    again = reopen(token, session)

    def refuse(*arguments: Any) -> None:
        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(refuse), pytest.raises(DatabaseUnavailable):
        again.resolve()

    assert isinstance(again.unavailable, DatabaseUnavailable)
    assert again.refusal is None
    assert is_live(token.sid)


def test_entering_keeps_the_data_and_deletes_the_anonymous_session(anna: Any) -> None:
    planted = {"cart": [1], "_csrftoken": "planted", "_auth_user_id": "7"}
    anonymous = sessions.SessionStore()
    anonymous.update(planted)
    anonymous.save()
    session = SessionStore(anonymous.session_key)

    token = enter(session, anna)
    session.save()

    assert session.session_key == token.sid
    assert session.is_cookie_stale
    assert session.identity.sid == token.sid
    assert dict(sessions.SessionStore(token=token).items()) == {"cart": [1]}
    assert not store.run(store.anonymous_exists(anonymous.session_key))


def test_entering_as_another_user_hands_over_nothing(anna: Any) -> None:
    session = SessionStore()
    token = enter(session, anna)
    session["of anna"] = 1
    session.save()

    other = enter(session, person("ben"))
    session.save()

    assert dict(sessions.SessionStore(token=other).items()) == {}
    assert dict(sessions.SessionStore(token=token).items()) == {"of anna": 1}


def test_entering_as_the_same_user_keeps_the_data(anna: Any) -> None:
    session = SessionStore()
    enter(session, anna)
    session["cart"] = [1]
    session.save()

    token = enter(session, anna)
    session.save()

    assert dict(sessions.SessionStore(token=token).items()) == {"cart": [1]}


def test_entering_forgives_an_earlier_refusal(anna: Any) -> None:
    token = enter(SessionStore(), anna)
    ending.end_session(token.sid, EndReason.REVOKED)
    session = SessionStore(token=token)
    assert session.identity is None
    assert session.refusal is not None

    enter(session, anna)

    assert session.refusal is None
    assert session.identity.user.username == "anna"


def test_signing_out_ends_record_index_and_row(anna: Any, valkey: ValkeyServer) -> None:
    token = enter(SessionStore(), anna)
    session = SessionStore(token=token)

    session.sign_out()
    session.sign_out()

    assert session.is_over
    assert session.identity is None
    assert not is_live(token.sid)
    assert not valkey.admin.exists(store.user_key("sso", anna.pk))
    assert Session.objects.get().ended_reason == "signed_out"


async def test_signing_out_in_async_code_does_the_same(anna: Any) -> None:
    token = (await sync_to_async(issuing.issue)(anna, amr=["pwd"], remember=False)).token
    session = SessionStore(token=token)

    await session.asign_out()

    assert session.is_over
    assert (await Session.objects.aget()).ended_reason == "signed_out"


def test_a_sign_out_without_redis_is_remembered_by_the_row(anna: Any, valkey: ValkeyServer) -> None:
    entered = SessionStore()
    session = reopen(enter(entered, anna), entered)
    assert session.identity is not None
    valkey.kill()

    with pytest.raises(StoreUnavailable):
        session.sign_out()

    assert not session.is_over
    assert Session.objects.get().ended_reason == "signed_out"


def test_a_sign_out_that_redis_finishes_later_is_audited_once(anna: Any, valkey: ValkeyServer) -> None:
    token = enter(SessionStore(), anna)
    valkey.admin.execute_command("ACL SETUSER", "default", "-unlink")
    try:
        for _ in range(2):  # people try again
            with pytest.raises(StoreUnavailable):
                SessionStore(token=token).sign_out()
    finally:
        valkey.admin.execute_command("ACL SETUSER", "default", "+@all")

    following.catch_up()

    assert not is_live(token.sid)
    assert AuditEvent.objects.filter(kind="signed_out", sid=token.sid).count() == 1


def test_sign_in_at_the_portal_is_announced_once(anna: Any) -> None:
    announced: list[Any] = []

    def receive(user: Any, **kwargs: Any) -> None:
        announced.append(user)

    client = browser()
    user_logged_in.connect(receive)
    try:
        sign_in(client)
        for _ in range(2):
            assert is_signed_in(client)
    finally:
        user_logged_in.disconnect(receive)

    assert announced == [anna]
    assert Session.objects.count() == 1


def test_logout_ends_and_records_the_session_once(anna: Any) -> None:
    request = HttpRequest()
    request.user = anna
    request.session = SessionStore(token=enter(SessionStore(), anna))

    logout(request)
    logout(request)

    assert Session.objects.get().ended_reason == "signed_out"
    assert [event.sub for event in AuditEvent.objects.filter(kind="signed_out")] == [anna.pk]


def test_after_a_sign_in_over_another_the_session_has_one_user(anna: Any) -> None:
    ben, client, seen = person("ben"), browser(), []
    sign_in(client)

    def view(request: HttpRequest) -> HttpResponse:
        assert request.user == anna
        login(request, ben, "portal.accounts.backends.PasswordBackend")
        seen.extend([request.user, get_user(request)])
        return HttpResponse()

    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    request = RequestFactory(headers={"cookie": cookie, "host": HOST}).post("/")
    PortalSessionMiddleware(AuthenticationMiddleware(view))(request)

    assert seen == [ben, ben]
    assert request.session.identity.sub == ben.pk
