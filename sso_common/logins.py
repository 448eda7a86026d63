"""A session that keeps a local login apart from the session of the user who signed in at the portal."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth import SESSION_KEY

from .adoption import EMERGENCY, LOCAL_SINCE, OVERRIDDEN_SID
from .expiry import ExpiringSession
from .flows import Flow


class LoginSession(ExpiringSession):
    """Gives each local login a session of its own: see ``begin_local_login_flow``."""

    #: Called with the key of a user, as text, before a login of the user is stored. Raises what refuses it.
    #: The middleware sets it.
    check_login: Callable[[str], None] | None = None

    def begin_local_login_flow(self, user_key: str) -> Flow[None]:
        """Give a local login a session of its own.

        Otherwise it would be stored in the session of the user who signed in at the portal, and that
        user's cookie alone would open it. The local login prevails until the next sign-in at the portal.
        """
        yield from self.resolve_flow()
        if self.check_login is not None:
            yield functools.partial(self.check_login, user_key)
        if self.is_own_login(user_key):
            return
        overridden = self._verified
        if self._token is not None:
            self.leave()
            self._verified = overridden  # logging out ends both
        if overridden is not None:
            self[OVERRIDDEN_SID] = overridden.sid
        self[LOCAL_SINCE] = int(time.time())
        self.pop(EMERGENCY, None)

    def is_own_login(self, value: Any) -> bool:
        """Whether a login is that of the user who has signed in: some products repeat it."""
        return self._token is not None and self.user_key is not None and value == self.user_key

    def __setitem__(self, key: str, value: Any) -> None:
        if key == SESSION_KEY:
            self.run(self.begin_local_login_flow(value))
        super().__setitem__(key, value)

    async def aset(self, key: str, value: Any) -> None:
        if key == SESSION_KEY:
            await self.ahas_key(key)  # loads the data, which the flow changes
            await self.arun(self.begin_local_login_flow(value))
        await super().aset(key, value)

    def update(self, dict_: Any) -> None:  # type: ignore[override]  # Django's own is not so general
        for key, value in dict(dict_).items():
            self[key] = value

    async def aupdate(self, dict_: Any) -> None:
        for key, value in dict(dict_).items():
            await self.aset(key, value)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"check_login": None}  # it belongs to a request
