"""The four variants of a session test: anonymous or signed in, called by sync or by async code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sso_common import store
from sso_common.flows import Commands
from sso_common.sessions import SessionStore
from tests.sso_common.tools import anonymous_name, sign_in, site_name

#: Methods that Django spells otherwise in sync code.
DUNDERS = {"set": "__setitem__"}


class Anonymous:
    """A visitor with the site's own cookie."""

    def new_session(self) -> SessionStore:
        return SessionStore()

    def next_request(self, session: SessionStore) -> SessionStore:
        return SessionStore(session.session_key)

    def is_stored(self, session: SessionStore) -> bool:
        return bool(store.client().exists(anonymous_name(session.session_key)))


class SignedIn:
    """A visitor with the SSO cookie."""

    def new_session(self) -> SessionStore:
        return SessionStore(token=sign_in())

    def next_request(self, session: SessionStore) -> SessionStore:
        return SessionStore(token=session.token)

    def is_stored(self, session: SessionStore) -> bool:
        return bool(store.client().exists(site_name(session.token)))


class Sync:
    """Calls ``session.verb()``."""

    async def __call__(self, session: SessionStore, verb: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(session, DUNDERS.get(verb, verb))(*args, **kwargs)


class Async:
    """Calls ``await session.averb()``."""

    async def __call__(self, session: SessionStore, verb: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(session, f"a{verb}")(*args, **kwargs)


Mode = Anonymous | SignedIn
Do = Sync | Async


def save_session(mode: Mode, **data: Any) -> SessionStore:
    """Save a new session with this data."""
    session = mode.new_session()
    session.update(data)
    session.save()
    return session


def save_anonymous(**data: Any) -> str:
    """Save an anonymous session with this data, and return its key."""
    return save_session(Anonymous(), **data).session_key


def ask_then(act: Callable[[], None]) -> Callable[[Commands], list[Any]]:
    """Send commands, and let another request act after the first of them."""
    actions = [act]

    def ask(commands: Commands) -> list[Any]:
        answers = store.ask(commands)
        while actions:
            actions.pop()()
        return answers

    return ask
