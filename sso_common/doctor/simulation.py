"""A simulated request of a signed-in user, through the site's real middlewares, in the doctor's process.

A site cannot sign an identity, so the session is opened without one, by a subclass that only this module
knows. It asks neither Redis nor the portal. The database is rolled back afterwards.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType
from typing import Any, ClassVar, Final
from wsgiref.util import setup_testing_defaults

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import got_request_exception
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch

from sso_common import backends, conf
from sso_common.flows import Commands, Flow
from sso_common.identity import Identity
from sso_common.models import Account
from sso_common.sessions import SessionStore
from sso_common.snapshot import UserSnapshot
from sso_common.store import StoredSession
from sso_common.tokens import SessionToken, mint_token

#: Seconds. Longer than any request takes.
LIFETIME: Final = 3600


@dataclass
class Simulation:
    """What a view saw of a request, and what became of the response."""

    token: SessionToken
    user: Any
    #: The session, the user and ``auser()`` of the request in the view; None if no view was reached.
    session: Any = None
    seen_user: Any = None
    seen_auser: Any = None
    is_seen: bool = False
    response: HttpResponseBase = field(default_factory=HttpResponse)
    error: BaseException | None = None
    #: Attribute of the request -> the functions that have set it, as dotted paths.
    set_by: dict[str, list[str]] = field(default_factory=dict)


def simulate(host: str) -> Simulation:
    """Send a signed-in user's request for ``/`` through the middlewares. Raises ``DatabaseError``."""
    with rolled_back():
        simulation = Simulation(mint_token(), find_user())

        def note_error(**kwargs: Any) -> None:
            simulation.error = sys.exc_info()[1]

        got_request_exception.connect(note_error)
        try:
            handler = SimulatedHandler(simulation)
            handler.load_middleware()
            request = SimulatedRequest(environ(host, simulation.token))
            request.simulation = simulation
            simulation.response = handler.get_response(request)
        finally:
            got_request_exception.disconnect(note_error)
    return simulation


@contextmanager
def rolled_back() -> Iterator[None]:
    """Undo what the middlewares write to the database."""
    aliases = {router.db_for_write(Account), router.db_for_write(get_user_model())}
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(transaction.atomic(using=alias))
        try:
            yield
        finally:
            for alias in aliases:
                transaction.set_rollback(True, using=alias)


def find_user() -> Any:
    """A user of this site, preferably one who is linked; before there is any, an unsaved one."""
    account = Account._default_manager.select_related("user").filter(
        is_active=True, is_deleted=False, user__isnull=False
    )
    if linked := account.first():
        return linked.user
    model = get_user_model()
    if user := model._base_manager.first():
        return user
    user = model()
    user.pk = user.pk or model._meta.pk.to_python("0")
    return user


def environ(host: str, token: SessionToken) -> dict[str, Any]:
    """The WSGI environment of a browser's request."""
    values: dict[str, Any] = {
        "HTTP_HOST": host,
        "PATH_INFO": "/",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_ACCEPT": "text/html",
        "HTTP_USER_AGENT": "sso_doctor",
        "HTTP_COOKIE": f"{conf.dsn().cookie_name}={token.value}",
        "wsgi.url_scheme": conf.dsn().portal_url.partition(":")[0],
        "wsgi.input": BytesIO(),
    }
    behind_proxy = getattr(settings, "SECURE_PROXY_SSL_HEADER", None)
    if behind_proxy and values["wsgi.url_scheme"] == "https":
        values[behind_proxy[0]] = behind_proxy[1]
    setup_testing_defaults(values)
    return values


class SimulatedRequest(WSGIRequest):
    """Opens the session that it is given, and remembers who sets session and user."""

    simulation: Simulation

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"session", "user"}:
            caller = sys._getframe(1)
            path = f"{caller.f_globals.get('__name__')}.{caller.f_code.co_qualname}"
            self.simulation.set_by.setdefault(name, []).append(path)
        if isinstance(value, SessionStore) and value._unresolved == self.simulation.token:
            bases = (SimulatedSession, type(value))  # the site may have a subclass of the store
            value.__class__ = type("SimulatedSession", bases, {"simulation": self.simulation})
        super().__setattr__(name, value)


class SimulatedSession(SessionStore):
    """A session that is signed in without a record, and keeps its data to itself."""

    simulation: ClassVar[Simulation]

    def resolve_flow(self) -> Flow[None]:
        """Open the session for the simulation's user."""
        token = self._unresolved
        if token is not None:
            self._verified = identity = invent_identity(token)
            yield from self._open_signed_in(token, identity, StoredSession(None, 1000 * LIFETIME, {}, {}))
            self._unresolved = None

    def user_flow(self) -> Flow[Any]:
        """The simulation's user, until logout."""
        yield from self.resolve_flow()
        if self.known_identity is None:
            return None
        self.user = self.simulation.user
        self.user.backend = backends.sso_backend()[0]
        return self.user

    def _ask(self, commands: Commands) -> list[Any]:
        """Send nothing."""
        return [1] * len(commands)

    async def _aask(self, commands: Commands) -> list[Any]:
        return self._ask(commands)


def invent_identity(token: SessionToken) -> Identity:
    """What the portal would state about the simulation's user."""
    now = int(time.time())
    return Identity(
        sid=token.sid,
        bind=token.bind,
        auth_time=now,
        iat=now,
        exp=now + LIFETIME,
        idle=LIFETIME,
        amr=("pwd",),
        user=UserSnapshot(sub=uuid.uuid4(), version=1, username="sso_doctor"),
        sites=MappingProxyType({conf.dsn().site: frozenset[str]()}),
    )


class SimulatedHandler(BaseHandler):
    """Django's handler with the site's middlewares. Every address leads to a view that only looks."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Resolve to ``look``."""
        request.resolver_match = ResolverMatch(self.look, (), {})
        return request.resolver_match

    def look(self, request: HttpRequest) -> HttpResponse:
        """A page that reads session and user."""
        simulation = self.simulation
        simulation.is_seen = True
        simulation.session = getattr(request, "session", None)
        simulation.seen_user = getattr(request, "user", None)
        bool(getattr(simulation.seen_user, "is_authenticated", False))  # evaluates it
        if auser := getattr(request, "auser", None):
            simulation.seen_auser = async_to_sync(auser)()
        return HttpResponse()


def concrete_host(hosts: Sequence[str]) -> str:
    """A host name that this site serves, for ``ALLOWED_HOSTS``-like patterns under the domain."""
    names = [each.lstrip(".") for each in hosts if each != "*"]
    return names[0] if names else f"www.{conf.dsn().domain}"
