"""A session that keeps a local login apart from the session of the user who signed in at the portal."""

from __future__ import annotations

import time
from functools import partial

from django.contrib.auth import SESSION_KEY

from . import users
from .adoption import EMERGENCY, LOCAL_SINCE, OVERRIDDEN_SID
from .exceptions import Absent
from .flows import Flow
from .resolving import ResolvingSession


class LoginSession(ResolvingSession):
    """Gives each local login a session of its own: see ``begin_local_login``."""

    def flush_flow(self) -> Flow[None]:
        """Delete this site's session data. ``SessionStore`` does it."""
        raise NotImplementedError

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

    def check_local_login_flow(self) -> Flow[bool]:
        """Whether the user of the local login may have one. If not, the login is ended. One query."""
        data = self._session_cache
        since, is_emergency = data.get(LOCAL_SINCE, 0), bool(data.get(EMERGENCY))
        try:
            yield partial(users.require_local_login, data[SESSION_KEY], since, is_emergency=is_emergency)
        except Absent as refusal:
            is_overriding = self.overridden is not None
            yield from self.end_local_login_flow()
            if not is_overriding:
                self.refuse(refusal)
            return False
        return True

    def end_local_login_flow(self) -> Flow[None]:
        """Delete a local login that is over. The user it overrode becomes the current user again."""
        token = self.overridden
        yield from self.flush_flow()
        if token is not None:
            self._unresolved, self.overridden = token, None
            del self._session_cache
            yield from self.resolve_flow()
