"""The session engine against a simple model: one visitor, several concurrent requests, in any order.

In the model, a session is a dictionary that exists or not, and a request has read some of it. Hypothesis
searches for an order of steps in which engine and model disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sso_common import store
from sso_common.fields import decode_fields
from sso_common.sessions import SessionStore, UpdateError
from sso_common.store import MARKER
from sso_common.tokens import SessionToken
from tests.sso_common.tools import anonymous_name, end, has_identity, sign_in, site_name

Data = dict[str, Any]

names = st.sampled_from(["cart", "seen", "name"])
values = st.sampled_from([1, "text", [1, 2], {"a": None}])


@dataclass(eq=False)
class Stored:
    """One session as it should be stored."""

    #: None for an anonymous session.
    token: SessionToken | None = None
    #: The session key of an anonymous session.
    key: str | None = None
    #: Signed in: the identity record exists. Anonymous: the session exists.
    is_alive: bool = True
    data: Data = field(default_factory=dict)

    def in_redis(self) -> Data:
        name = site_name(self.token) if self.token else anonymous_name(self.key)
        return decode_fields(store.client().hgetall(name), JSONSerializer())


@dataclass(eq=False)
class Request:
    """One request: the real session, and what the model expects of it."""

    session: SessionStore
    #: The sessions behind the cookies that the request presents.
    token_of: Stored | None = None
    cookie_of: Stored | None = None
    is_resolved: bool = False
    #: The session after the first read; None for a new one.
    current: Stored | None = None
    #: The data that the request sees; None before it has read any.
    seen: Data | None = None
    #: The data that it knows to be stored; None where a save replaces everything.
    known: Data | None = None


class Sessions(RuleBasedStateMachine):
    requests = Bundle("requests")

    @classmethod
    def reset(cls, valkey: Any) -> None:
        cls.valkey = valkey

    def __init__(self) -> None:
        super().__init__()
        self.valkey.admin.flushall()
        self.in_flight = 0
        self.signed_in: list[Stored] = [Stored(token=sign_in("anna"))]
        self.anonymous: list[Stored] = []
        visitor = Request(SessionStore())
        self.it_sets(visitor, "cart", 1)
        self.it_saves(visitor)

    # --- requests arrive ---------------------------------------------------------------------

    @precondition(lambda self: self.in_flight < 3)
    @rule(target=requests)
    def a_signed_in_request_arrives(self) -> Request:
        self.in_flight += 1
        stored = self.signed_in[-1]
        return Request(SessionStore(token=stored.token), token_of=stored)

    @precondition(lambda self: self.in_flight < 3)
    @rule(target=requests)
    def an_anonymous_request_arrives(self) -> Request:
        self.in_flight += 1
        stored = self.anonymous[-1]
        return Request(SessionStore(stored.key), cookie_of=stored)

    @precondition(lambda self: self.in_flight < 3)
    @rule(target=requests)
    def a_request_with_both_cookies_arrives(self) -> Request:
        self.in_flight += 1
        signed_in, anonymous = self.signed_in[-1], self.anonymous[-1]
        session = SessionStore(anonymous.key, token=signed_in.token)
        return Request(session, token_of=signed_in, cookie_of=anonymous)

    @rule()
    def the_visitor_signs_out_at_another_site(self) -> None:
        end(self.signed_in[-1].token)
        self.signed_in[-1].is_alive = False

    @precondition(lambda self: not self.signed_in[-1].is_alive)
    @rule()
    def the_visitor_signs_in_again(self) -> None:
        self.signed_in.append(Stored(token=sign_in("anna")))

    @rule(request=requests, name=names, value=values)
    def a_faster_request_sets_and_saves(self, request: Request, name: str, value: Any) -> None:
        self._overtake(request, lambda faster: self.it_sets(faster, name, value))

    @rule(request=requests, name=names)
    def a_faster_request_deletes_a_key_and_saves(self, request: Request, name: str) -> None:
        self._overtake(request, lambda faster: self.it_deletes_a_key(faster, name))

    def _overtake(self, request: Request, act: Callable[[Request], None]) -> None:
        stored = request.current
        if stored is None:
            return
        faster = (
            Request(SessionStore(token=stored.token), token_of=stored)
            if stored.token
            else Request(SessionStore(stored.key), cookie_of=stored)
        )
        act(faster)
        self.it_saves(faster)

    # --- the model ---------------------------------------------------------------------------

    def _resolve(self, request: Request) -> None:
        """Find out which session the request has, at its first read."""
        if request.is_resolved:
            return
        request.is_resolved = True
        signed_in, anonymous = request.token_of, request.cookie_of
        if signed_in is not None and signed_in.is_alive:
            request.current = signed_in
            if request.seen is not None:  # cleared before the first read
                return
            request.known = dict(signed_in.data)
            request.seen = dict(signed_in.data)
            if anonymous is not None and anonymous.is_alive:
                anonymous.is_alive = False
                for name, value in anonymous.data.items():
                    signed_in.data.setdefault(name, value)
                    request.seen.setdefault(name, value)
                    request.known.setdefault(name, value)
            return
        request.current = anonymous
        if request.seen is None and signed_in is not None:
            self._open_anonymous(request)

    def _open_anonymous(self, request: Request) -> None:
        if request.current is not None and not request.current.is_alive:
            request.current = None
        request.seen = dict(request.current.data) if request.current else {}
        request.known = dict(request.seen)

    def _read(self, request: Request) -> Data:
        if request.seen is None:
            self._resolve(request)
        if request.seen is None:
            self._open_anonymous(request)
        return request.seen

    def _save(self, request: Request) -> bool:
        """Save in the model. Returns False where the real save must fail."""
        self._resolve(request)
        if request.current is None:
            self._create(request)
            return True
        seen = self._read(request)
        stored = request.current
        if stored is None:  # the read has found that there is no such session
            self._create(request)
            return True
        if not stored.is_alive:
            return False
        if request.known is None:
            stored.data = dict(seen)
        else:
            for name in request.known.keys() - seen.keys():
                stored.data.pop(name, None)
            changed = {k: v for k, v in seen.items() if k not in request.known or request.known[k] != v}
            stored.data.update(changed)
        request.known = dict(seen)
        return True

    def _create(self, request: Request) -> None:
        request.seen = {} if request.seen is None else request.seen
        request.known = dict(request.seen)
        request.current = Stored(key=None, data=dict(request.seen))
        self.anonymous.append(request.current)

    def _name_new_sessions(self, request: Request) -> None:
        if request.current is not None and request.current.token is None:
            assert request.session.session_key is not None
            request.current.key = request.session.session_key

    # --- what a request does -----------------------------------------------------------------

    @rule(request=requests)
    def it_reads(self, request: Request) -> None:
        assert dict(request.session.items()) == self._read(request)

    @rule(request=requests, name=names, value=values)
    def it_sets(self, request: Request, name: str, value: Any) -> None:
        request.session[name] = value
        self._read(request)[name] = value

    @rule(request=requests, name=names)
    def it_deletes_a_key(self, request: Request, name: str) -> None:
        assert request.session.pop(name, None) == self._read(request).pop(name, None)

    @rule(request=requests)
    def it_saves(self, request: Request) -> None:
        expected = self._save(request)
        try:
            request.session.save()
        except UpdateError:
            assert not expected
        else:
            assert expected
            self._name_new_sessions(request)

    @rule(request=consumes(requests))
    def it_saves_and_ends(self, request: Request) -> None:
        self.it_saves(request)
        self.in_flight -= 1

    @rule(request=requests)
    def it_loads_again(self, request: Request) -> None:
        data = request.session.load()

        if request.seen is None:
            assert data == self._read(request)
            return
        self._resolve(request)
        if request.current is not None and request.current.token is None and not request.current.is_alive:
            request.current = None
        assert data == (request.current.data if request.current else {})

    @rule(request=requests)
    def it_clears(self, request: Request) -> None:
        request.session.clear()
        request.seen, request.known = {}, None

    @rule(request=requests)
    def it_flushes(self, request: Request) -> None:
        request.session.flush()
        self._resolve(request)
        request.seen, request.known = {}, None
        if request.current is not None and request.current.token is not None:
            request.current.data = {}
        elif request.current is not None:
            request.current.is_alive, request.current = False, None

    @rule(request=requests)
    def it_deletes_the_session(self, request: Request) -> None:
        request.session.delete()
        self._resolve(request)
        if request.current is not None and request.current.token is not None:
            request.current.data, request.known = {}, None
        elif request.current is not None:
            request.current.is_alive = False

    @rule(request=requests)
    def it_cycles_the_key(self, request: Request) -> None:
        request.session.cycle_key()
        self._resolve(request)
        if request.current is not None and request.current.token is not None:
            return
        self._read(request)
        before = request.current
        self._create(request)
        self._name_new_sessions(request)
        if before is not None:
            before.is_alive = False

    @rule(request=requests)
    def it_signs_out(self, request: Request) -> None:
        request.session.sign_out()
        self._resolve(request)
        if request.current is not None and request.current.token is not None:
            request.current.is_alive, request.current.data = False, {}
            request.current, request.seen, request.known = None, {}, {}

    # --- invariants --------------------------------------------------------------------------

    @invariant()
    def only_live_sessions_have_a_record(self) -> None:
        for stored in self.signed_in:
            assert has_identity(stored.token) == stored.is_alive

    @invariant()
    def redis_and_model_agree(self) -> None:
        for stored in self.signed_in:
            assert stored.in_redis() == stored.data
        for stored in self.anonymous:
            assert stored.in_redis() == (stored.data if stored.is_alive else {})
            assert bool(store.client().exists(anonymous_name(stored.key))) == stored.is_alive

    @invariant()
    def every_key_expires(self) -> None:
        for name in store.client().keys("*"):
            if name.endswith(b":events"):
                continue
            assert 0 < store.client().pttl(name) <= 14 * 24 * 3600 * 1000

    @invariant()
    def every_live_session_has_the_marker(self) -> None:
        for stored in self.anonymous:
            fields = store.client().hgetall(anonymous_name(stored.key))
            assert (MARKER in fields) == stored.is_alive


@pytest.mark.usefixtures("valkey")
def test_concurrent_requests_in_any_order_agree_with_the_model(valkey) -> None:
    Sessions.reset(valkey)

    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=50,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
