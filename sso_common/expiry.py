"""How long a session lives: Django's expiry, and the idle timeout of a signed-in session."""

from __future__ import annotations

import functools
import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from . import store
from .flows import Flow
from .idle import due_extension, seconds_left
from .resolving import ResolvingSession

logger = logging.getLogger("sso_common.session")


class ExpiringSession(ResolvingSession):
    """A session that expires.

    The data of a signed-in session expires with the identity, or earlier if ``set_expiry`` says so. That
    does not sign the user out: only the portal decides how long a user stays signed in.
    """

    # --- Django's expiry ----------------------------------------------------------------------

    def get_session_cookie_age(self) -> int:
        """Seconds that a session lives unless ``set_expiry`` was called: of a signed-in session, until the
        identity expires, else ``SESSION_COOKIE_AGE``."""
        if self._identity is None:
            return int(settings.SESSION_COOKIE_AGE)
        return int(seconds_left(self._identity))

    def get_expiry_age(self, **kwargs: Any) -> int:
        return self.bounded_age(super().get_expiry_age(**kwargs), **kwargs)

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        return self.bounded_age(await super().aget_expiry_age(**kwargs), **kwargs)

    def bounded_age(self, age: int, modification: datetime | None = None, **kwargs: Any) -> int:
        """Seconds after a modification, at most until the identity expires.

        As in Django, an ``expiry`` among the arguments asks about that one instead of the session's own.
        """
        if self._identity is None or "expiry" in kwargs:
            return age
        return min(age, int(self._identity.exp - (modification or timezone.now()).timestamp()))

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        return self.bounded_date(super().get_expiry_date(**kwargs), **kwargs)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        return self.bounded_date(await super().aget_expiry_date(**kwargs), **kwargs)

    def bounded_date(self, date: datetime, **kwargs: Any) -> datetime:
        """A time, but at the latest when the identity expires: see ``bounded_age``."""
        if self._identity is None or "expiry" in kwargs or date.timestamp() <= self._identity.exp:
            return date
        return datetime.fromtimestamp(self._identity.exp, date.tzinfo)

    def set_expiry(self, value: Any) -> None:
        super().set_expiry(value)
        self.check_expiry(value)

    async def aset_expiry(self, value: Any) -> None:
        await super().aset_expiry(value)
        self.check_expiry(value)

    def check_expiry(self, value: Any) -> None:
        """Report an expiry that cannot be kept."""
        if value == 0 and self._identity is not None:
            warn_of_browser_close()

    # --- idle timeout -------------------------------------------------------------------------

    def due_extension(self) -> int | None:
        """Milliseconds to which the idle timeout is due to be extended, or None. Reads nothing."""
        identity = self.known_identity
        return None if identity is None else due_extension(identity, self._ttl)

    def extend_flow(self) -> Flow[None]:
        """Extend the idle timeout if that is due. Raises ``StoreUnavailable``."""
        milliseconds = self.due_extension()
        if milliseconds is not None and self._token is not None:
            yield from store.extend_session(self._token.sid, milliseconds)
            self._ttl = milliseconds


@functools.cache
def warn_of_browser_close() -> None:
    """Log, once in a process, what ``set_expiry(0)`` cannot do."""
    logger.warning(
        "set_expiry(0) has no effect while a user is signed in at the portal: the portal sets the cookie, "
        "and decides whether it is deleted when the browser is closed."
    )
