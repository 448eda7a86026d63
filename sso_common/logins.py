"""A session that keeps a local login apart from the session of the user who signed in at the portal."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import SESSION_KEY

from .adoption import EMERGENCY, LOCAL_SINCE, OVERRIDDEN_SID
from .expiry import ExpiringSession


class LoginSession(ExpiringSession):
    """Gives each local login a session of its own: see ``begin_local_login``."""

    def begin_local_login(self) -> None:
        """Give a local login a session of its own.

        Otherwise it would be stored in the session of the user who signed in at the portal, and that
        user's cookie alone would open it. The local login prevails until the next sign-in at the portal.
        """
        self.resolve()
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
        if key == SESSION_KEY and not self.is_own_login(value):
            self.begin_local_login()
        super().__setitem__(key, value)

    async def aset(self, key: str, value: Any) -> None:
        await self.aresolve()
        self[key] = value

    def update(self, dict_: Any) -> None:  # type: ignore[override]  # Django's own is not so general
        for key, value in dict(dict_).items():
            self[key] = value

    async def aupdate(self, dict_: Any) -> None:
        await self.aresolve()
        self.update(dict_)
