"""Channels over real WebSockets: ``SSOMiddlewareStack`` knows who is signed in, and notices the end of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.urls import path
from granian.server.embed import Server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from demo.ports import free_port
from sso_common import conf, store, testing
from sso_common.channels import SSOMiddlewareStack, sign_out, still_signed_in
from sso_common.middleware import SessionMiddleware
from sso_common.models import Account
from sso_common.sockets import WatchedSocket
from sso_common.tokens import SessionToken
from tests.servers import ValkeyServer
from tests.sso_common.tools import (
    counted_trips,
    end,
    expire_in,
    has_identity,
    record_name,
    session_data,
    sign_in,
)
from tests.timing import WAIT, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

HOST = "chat.testserver"
#: As a browser sends it, with the port of the test's server.
ORIGIN = f"http://{HOST}:{{port}}"


class Chat(AsyncJsonWebsocketConsumer):
    """Says who is connected, and does what it is told."""

    #: The codes of the sockets that have ended.
    ended: asyncio.Queue[int]

    async def connect(self) -> None:
        await self.accept()
        user, sso = self.scope["user"], self.scope.get("sso")
        await self.send_json(
            {
                "user": user.get_username(),
                "roles": sorted(sso.roles) if sso else None,
                "cookies": sorted(self.scope["cookies"]),
            }
        )

    async def receive_json(self, content: str) -> None:
        if content == "put":
            await self.scope["session"].aset("cart", "mug")
            await self.scope["session"].asave()
        elif content == "sign out":
            await sign_out(self.scope)
        elif content == "close":
            await self.close(4000)
            return
        elif content == "check":
            await self.send_json(await still_signed_in(self.scope))
            return
        await self.send_json([content, self.scope["user"].get_username()])

    async def disconnect(self, code: int) -> None:
        await self.ended.put(code)


Connect = Callable[..., Any]


@contextlib.asynccontextmanager
async def served(stack: Callable[[Any], Any]) -> AsyncIterator[Connect]:
    """Serve the chat behind a stack; yields what connects to it."""
    Chat.ended = asyncio.Queue()
    application = ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": stack(URLRouter([path("chat/", Chat.as_asgi())])),
        }
    )
    port = free_port()
    server = Server(application, port=port, interface="asginl", log_enabled=False)
    serving = asyncio.ensure_future(server.serve())
    await answering(port)

    def connected(
        token: SessionToken | None = None, *, origin: str | None = ORIGIN, cookies: str = ""
    ) -> Any:
        if token is not None:
            cookies = f"{cookies}; {conf.dsn().cookie_name}={token.value}"
        return connect(
            f"ws://{HOST}:{port}/chat/",
            host="127.0.0.1",
            origin=None if origin is None else origin.format(port=port),
            additional_headers={"Cookie": cookies} if cookies else {},
            proxy=None,
        )

    try:
        yield connected
    finally:
        server.stop()
        await serving


async def answering(port: int) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def chat() -> AsyncIterator[Connect]:
    async with served(SSOMiddlewareStack) as connected:
        yield connected


@pytest.fixture
async def attentive_chat() -> AsyncIterator[Connect]:
    """Examines each socket all the time."""
    async with served(lambda inner: SSOMiddlewareStack(inner, recheck=0.05)) as connected:
        yield connected


@pytest.fixture
def ben() -> SessionToken:
    return sign_in("ben", roles=["editor"])


async def said(socket: ClientConnection, *messages: str) -> Any:
    """The answer to the last message, or the greeting."""
    for message in messages:
        await socket.send(json.dumps(message))
    async with asyncio.timeout(WAIT):
        return json.loads(await socket.recv())


async def closing_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(WAIT):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0


# --- who is connected ------------------------------------------------------------------------


async def test_user_of_the_portal_is_connected(chat: Connect, ben: SessionToken) -> None:
    async with chat(ben) as socket:
        greeting = await said(socket)

    assert greeting == {"user": "ben", "roles": ["editor"], "cookies": []}  # the token is in no scope


async def test_visitor_is_anonymous(chat: Connect) -> None:
    async with chat(cookies="theme=dark") as socket:
        assert await said(socket) == {"user": "", "roles": None, "cookies": ["theme"]}


async def test_local_login_is_connected(chat: Connect, async_client: Any) -> None:
    await async_client.aforce_login(await User.objects.acreate_user("dora"))
    key = async_client.cookies["__Host-session"].value

    async with chat(cookies=f"__Host-session={key}") as socket:
        assert (await said(socket))["user"] == "dora"


async def test_ended_session_is_anonymous(chat: Connect, ben: SessionToken) -> None:
    end(ben)

    async with chat(ben) as socket:
        assert (await said(socket))["user"] == ""


async def test_user_without_access_is_anonymous(chat: Connect) -> None:
    async with chat(await sync_to_async(sign_in)("mallory", sites={})) as socket:
        assert (await said(socket))["user"] == ""


async def test_handshake_costs_one_round_trip(chat: Connect, ben: SessionToken) -> None:
    async with chat(ben) as socket:  # the first visit extends the idle timeout
        await said(socket)

    with counted_trips() as trips:
        async with chat(ben) as socket:
            await said(socket)

    assert len(trips) == 1


async def test_handshake_extends_the_idle_timeout_as_a_request_does(chat: Connect, ben: SessionToken) -> None:
    async with chat(ben):
        pass
    expire_in(ben, 100)

    async with chat(ben):
        pass

    assert store.client().ttl(record_name(ben)) > 1000


async def test_session_can_be_changed(chat: Connect, ben: SessionToken, client: Any) -> None:
    async with chat(ben) as socket:
        await said(socket)
        assert await said(socket, "put") == ["put", "ben"]

    client.cookies[conf.dsn().cookie_name] = ben.value
    assert await sync_to_async(session_data)(client) == {"cart": "mug"}


async def test_stack_of_channels_itself_finds_nobody(ben: SessionToken) -> None:
    """Why there is another one. If this fails, a newer Channels knows better."""
    stack = lambda inner: AllowedHostsOriginValidator(AuthMiddlewareStack(inner))  # noqa: E731
    async with served(stack) as connected, connected(ben) as socket:
        assert (await said(socket))["user"] == ""


class DemandingSessionMiddleware(SessionMiddleware):
    """Opens nothing with the SSO cookie alone."""

    def process_request(self, request: Any) -> None:
        if "second" not in request.COOKIES:
            request.COOKIES.clear()
        super().process_request(request)


async def test_session_middleware_of_the_site_has_its_say(
    chat: Connect, ben: SessionToken, settings: Any
) -> None:
    path = f"{__name__}.DemandingSessionMiddleware"
    settings.MIDDLEWARE = [path, *settings.MIDDLEWARE[1:]]

    async with chat(ben) as socket:
        assert (await said(socket))["user"] == ""
    async with chat(ben, cookies="second=1") as socket:
        assert (await said(socket))["user"] == "ben"


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.testserver:{port}",  # another site of the family: its pages send the SSO cookie, too
        "http://chat.testserver.evil.example:{port}",
        "https://chat.testserver:{port}",
        "http://chat.testserver:1",
        "http://chat.testserver",
        "null",
        None,
    ],
)
async def test_attack_cross_site_websocket_hijacking(
    chat: Connect, ben: SessionToken, origin: str | None
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with chat(ben, origin=origin):
            pass

    assert refused.value.response.status_code == 403


async def test_origin_of_a_trusted_site_is_accepted(chat: Connect, ben: SessionToken, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example.net"]

    async with chat(ben, origin="https://app.example.net") as socket:
        assert (await said(socket))["user"] == "ben"


async def test_unavailable_redis_is_not_absent(
    chat: Connect, ben: SessionToken, valkey: ValkeyServer
) -> None:
    valkey.kill()

    with pytest.raises(InvalidStatus) as refused:
        async with chat(ben):
            pass

    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "5"


async def test_stack_serves_nothing_but_websockets() -> None:
    with pytest.raises(ValueError, match="WebSockets only"):
        await SSOMiddlewareStack(None)({"type": "http"}, None, None)  # type: ignore[arg-type]


# --- a socket that stays open ----------------------------------------------------------------


async def test_sign_out_elsewhere_closes_the_socket(attentive_chat: Connect, ben: SessionToken) -> None:
    async with attentive_chat(ben) as socket:
        assert (await said(socket))["user"] == "ben"
        end(ben)

        assert await closing_code(socket) == 4401

    async with asyncio.timeout(WAIT):
        assert await Chat.ended.get() == 4401


async def revoke(token: SessionToken) -> None:
    await Account.objects.aupdate(not_before=2**40)


async def deactivate(token: SessionToken) -> None:
    await User.objects.aupdate(is_active=False)


async def take_role(token: SessionToken) -> None:
    identity = testing.make_identity(token, "ben")
    await sync_to_async(testing.store_record)(token.sid, testing.sign_record(identity))


async def close_site(token: SessionToken) -> None:
    identity = testing.make_identity(token, "ben", sites={})
    await sync_to_async(testing.store_record)(token.sid, testing.sign_record(identity))


@pytest.mark.parametrize("change", [revoke, deactivate, take_role, close_site])
async def test_change_of_the_user_closes_the_socket(
    attentive_chat: Connect, ben: SessionToken, change: Any
) -> None:
    async with attentive_chat(ben) as socket:
        await said(socket)
        await change(ben)

        assert await closing_code(socket) == 4401


async def test_end_of_a_local_login_closes_the_socket(attentive_chat: Connect, async_client: Any) -> None:
    await async_client.aforce_login(await User.objects.acreate_user("dora"))
    key = async_client.cookies["__Host-session"].value
    async with attentive_chat(cookies=f"__Host-session={key}") as socket:
        await said(socket)
        await async_client.alogout()

        assert await closing_code(socket) == 4401


async def test_socket_of_a_user_who_is_signed_in_stays_open(
    attentive_chat: Connect, ben: SessionToken
) -> None:
    async with attentive_chat(ben) as socket:
        await said(socket)
        for number in range(30):
            assert await said(socket, str(number)) == [str(number), "ben"]
            await asyncio.sleep(0.01)


async def test_outage_of_redis_closes_no_socket(
    attentive_chat: Connect, ben: SessionToken, valkey: ValkeyServer, caplog: Any
) -> None:
    async with attentive_chat(ben) as socket:
        await said(socket)
        valkey.kill()
        await asyncio.to_thread(until, lambda: "could not be examined" in caplog.text)

        assert await said(socket, "hello") == ["hello", "ben"]


async def test_consumer_can_ask_before_it_acts(chat: Connect, ben: SessionToken) -> None:
    async with chat(ben) as socket:
        await said(socket)
        assert await said(socket, "check") is True
        end(ben)

        assert await said(socket, "check") is False


async def test_consumer_can_sign_the_user_out_everywhere(chat: Connect, ben: SessionToken) -> None:
    async with chat(ben) as socket:
        await said(socket)

        assert await said(socket, "sign out") == ["sign out", ""]

    assert not await sync_to_async(has_identity)(ben)


@pytest.mark.parametrize("is_signed_in", [True, False])
async def test_consumer_can_close_the_socket(chat: Connect, ben: SessionToken, is_signed_in: bool) -> None:
    async with chat(ben if is_signed_in else None) as socket:
        await said(socket)
        await socket.send('"close"')

        assert await closing_code(socket) == 4000

    async with asyncio.timeout(WAIT):
        assert await Chat.ended.get() == 4000


async def test_browser_that_leaves_is_told_to_the_consumer(chat: Connect, ben: SessionToken) -> None:
    async with chat(ben) as socket:
        await said(socket)

    async with asyncio.timeout(WAIT):
        assert await Chat.ended.get() != 4401


async def test_message_is_not_lost_if_the_one_who_waits_for_it_is_cancelled() -> None:
    arriving: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def is_valid() -> bool:
        return True

    socket = WatchedSocket(lambda: arriving, arriving.set_result, is_valid, 60)  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(socket.receive())
    await asyncio.wait({waiting}, timeout=0.01)
    waiting.cancel()
    await asyncio.wait({waiting})
    arriving.set_result({"type": "websocket.receive", "text": "hello"})

    assert (await socket.receive())["text"] == "hello"
