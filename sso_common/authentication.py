"""A session that knows its user, and shows a signed-in user under the keys of Django's login.

``django.contrib.auth.get_user(request)`` and whatever else reads those keys (Channels, the authentication
middlewares of products) find the user of a single sign-on by them. Nothing is stored under them.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from . import backends
from .announcing import AnnouncingSession
from .database import reported_outage
from .exceptions import SSOError, Unavailable
from .flows import Flow

#: What Django's ``login`` stores, and ``get_user`` reads in this order: the user's primary key, the path of
#: the backend, and a hash of the password.
LOGIN_KEYS: Final = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)


class AuthenticatedSession(AnnouncingSession):
    """Answers Django's ``LOGIN_KEYS`` where a user is signed in.

    Only ``session[key]`` and ``session.get(key)`` do. ``key in session`` and ``items()`` show what is
    stored, which is a local login or nothing. So no code that copies a session makes a local login of a
    single sign-on, and Django's ``login`` does not flush the data of the user whom it overrides.
    """

    def user_flow(self) -> Flow[Any]:
        """The local user of the identity, found once, or None. ``refusal`` says why.

        Costs one query if the user is known to this site.
        """
        yield from self.resolve_flow()
        identity = self.known_identity
        if identity is None:
            return None
        if self.user is None:
            path, backend = backends.sso_backend()
            try:
                with reported_outage():
                    user = yield partial(backend.user_for, identity)
            except Unavailable:
                raise
            except SSOError as refusal:
                self.refuse(refusal)
                return None
            user.backend = path
            if self.known_identity is not identity:  # signed out in the meantime
                return None
            if self.user is None:  # else another thread or coroutine was faster
                self.user = user
                yield from self.announce_flow(user)
        return self.user  # a receiver may have signed the user out

    def login_value_flow(self, key: str, stored: Any) -> Flow[Any]:
        """What this session answers under one of the ``LOGIN_KEYS``, or None. ``stored`` is what it holds."""
        if key == BACKEND_SESSION_KEY:
            backends.named_user.set(None)
        if self.has_local_login():
            # Whoever asks for the backend is about to take the login for valid.
            is_valid = key != BACKEND_SESSION_KEY or (yield from self.check_local_login_flow())
            return stored if is_valid else None
        user = yield from self.user_flow()
        if user is None:
            return stored
        if key == BACKEND_SESSION_KEY:
            backends.named_user.set(user)
        return login_value(user, key)

    def get(self, key: str, default: Any = None) -> Any:
        if key not in LOGIN_KEYS:
            return super().get(key, default)
        value = self.run(self.login_value_flow(key, super().get(key)))
        return default if value is None else value

    async def aget(self, key: str, default: Any = None) -> Any:
        if key not in LOGIN_KEYS:
            return await super().aget(key, default)
        value = await self.arun(self.login_value_flow(key, await super().aget(key)))
        return default if value is None else value

    def __getitem__(self, key: str) -> Any:
        if key not in LOGIN_KEYS:
            return super().__getitem__(key)
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def begin_login_flow(self, key: str, value: Any) -> Flow[bool]:
        """Prepare the session for a value under one of the ``LOGIN_KEYS``. Returns whether to store it: some
        products repeat the login of the user who has signed in."""
        user = yield from self.user_flow()
        if user is not None and (key != SESSION_KEY or value == login_value(user, key)):
            return False
        if key == SESSION_KEY:
            yield from self.begin_local_login_flow(value)
        return True

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in LOGIN_KEYS or self.run(self.begin_login_flow(key, value)):
            super().__setitem__(key, value)

    async def aset(self, key: str, value: Any) -> None:
        if key in LOGIN_KEYS:
            await self.ahas_key(key)  # loads the data, which the flow changes
            if not await self.arun(self.begin_login_flow(key, value)):
                return
        await super().aset(key, value)

    def update(self, dict_: Any) -> None:  # type: ignore[override]  # Django's own is not so general
        for key, value in dict(dict_).items():
            self[key] = value

    async def aupdate(self, dict_: Any) -> None:
        for key, value in dict(dict_).items():
            await self.aset(key, value)


def login_value(user: Any, key: str) -> str | None:
    """What Django's ``login`` would store for a user under one of the ``LOGIN_KEYS``."""
    if key == SESSION_KEY:
        text: str = user._meta.pk.value_to_string(user)
        return text
    if key == BACKEND_SESSION_KEY:
        return str(user.backend)
    return str(user.get_session_auth_hash()) if hasattr(user, "get_session_auth_hash") else None
