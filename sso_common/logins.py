"""A session that keeps a local login apart from the session of the user who signed in at the portal."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib.auth import SESSION_KEY

from . import users
from .adoption import EMERGENCY, LOCAL_SINCE, OVERRIDDEN_SID
from .database import reported_outage
from .exceptions import Absent, NoIdentity, SSOError
from .expiry import ExpiringSession
from .flows import Flow


class LoginSession(ExpiringSession):
    """Gives each local login a session of its own: see ``begin_local_login_flow``."""

    #: Called with the key of a user, as text, before a login of the user is stored. Raises what refuses it.
    #: The middleware sets it.
    check_login: Callable[[str], None] | None = None
    #: Called when a local login is found to be over. The middleware sets it.
    login_ended: Callable[[], None] | None = None
    #: Whether the request may change something, according to its method. The middleware sets it.
    is_unsafe = False

    def flush_flow(self) -> Flow[None]:
        """Delete this site's session data. ``SessionStore`` does it."""
        raise NotImplementedError

    def begin_local_login_flow(self, user_key: str) -> Flow[None]:
        """Give a local login a session of its own.

        Otherwise it would be stored in the session of the user who signed in at the portal, and that
        user's cookie alone would open it. The local login prevails until the next sign-in at the portal.
        """
        yield from self.resolve_flow()
        if self.check_login is not None:
            yield partial(self.check_login, user_key)
        overridden = self._verified
        if self._token is not None:
            self.leave()
            self._verified = overridden  # logging out ends both
        if overridden is not None:
            self[OVERRIDDEN_SID] = overridden.sid
        self[LOCAL_SINCE] = int(time.time())
        self.pop(EMERGENCY, None)

    def check_local_login_flow(self) -> Flow[bool]:
        """Whether the user of the local login may have one. If not, the login is ended. One query."""
        data = self._session_cache
        since, is_emergency = data.get(LOCAL_SINCE, 0), bool(data.get(EMERGENCY))
        try:
            with reported_outage():
                yield partial(users.require_local_login, data[SESSION_KEY], since, is_emergency=is_emergency)
        except Absent as refusal:
            if self._session_cache is data:  # no other thread or coroutine has ended it
                yield from self.end_local_login_flow(refusal)
            return False
        return True

    def end_local_login_flow(self, refusal: SSOError | None = None) -> Flow[None]:
        """Delete a local login that is over. The user it overrode becomes the current user again.

        Not in a request that may change something: the local user's form must not be sent in the name of
        another user, who is back in the next request.
        """
        token = self.overridden
        yield from self.flush_flow()
        if token is None or self.is_unsafe:
            self.refuse(refusal or NoIdentity())
        else:
            self._unresolved, self.overridden = token, None
            del self._session_cache
            yield from self.resolve_flow()
        if self.login_ended is not None and self.overridden is None:
            self.login_ended()

    def __getstate__(self) -> dict[str, Any]:
        # These belong to a request.
        return super().__getstate__() | {"check_login": None, "login_ended": None}
