"""A session that announces its user to the site, as ``django.contrib.auth.login`` does."""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError, connections, router, transaction

from . import store
from .exceptions import StoreUnavailable
from .flows import Flow
from .idle import seconds_left
from .logins import LoginSession

logger = logging.getLogger("sso_common.session")


class AnnouncingSession(LoginSession):
    """Sends ``user_logged_in``, once for each session at each site.

    A user who signs in at the portal never calls ``login()`` here. What it does besides storing who the
    user is, is done on the first request of the session that uses ``request.user``: see ``announce``.
    """

    #: The request whose session this is. The middleware sets it; a WebSocket has none.
    request: Any = None
    #: Whether the user was announced in this request.
    has_announced = False

    def announce_flow(self, user: Any) -> Flow[None]:
        """Announce the user who has signed in, unless that was done before.

        The session notes it first, so concurrent requests announce a user once. Sent with it, an extension
        of the idle timeout costs no round trip of its own. If the store cannot write, the next request
        tries again.
        """
        identity = self.known_identity
        if identity is None or self.is_announced or self.request is None:
            return
        # Until the store answers, and for good if it is new: what a cancelled request takes back.
        self.is_announced = self.has_announced = True
        milliseconds = self.due_extension()
        try:
            is_new = yield from store.announce_once(identity.sid, seconds_left(identity), milliseconds)
        except StoreUnavailable as error:
            logger.warning("Sign-in not announced: %s", error, extra={"reason": error.reason})
            self.has_announced = False
            return
        if milliseconds is not None:
            self._ttl = milliseconds
        self.has_announced = is_new
        if is_new:
            yield functools.partial(announce, self.request, user)

    def take_back_flow(self) -> Flow[None]:
        """Let the next request announce the user again: this one has failed, and perhaps its transaction
        was rolled back. Raises ``StoreUnavailable``."""
        if self.has_announced and self._token is not None:
            self.has_announced = False
            yield from store.forget_announcement(self._token.sid)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"request": None}


def announce(request: Any, user: Any) -> None:
    """Send ``user_logged_in``; Django's own receiver sets ``last_login``.

    A receiver that fails is logged and spoils no response: unlike at a login form, the visitor asked for some
    other page. That includes the request's transaction (``ATOMIC_REQUESTS``), hence the savepoint.
    """
    using = router.db_for_write(user.__class__)
    is_atomic = connections[using].in_atomic_block
    try:
        with transaction.atomic(using=using) if is_atomic else contextlib.nullcontext():
            user_logged_in.send_robust(sender=user.__class__, request=request, user=user)
    except DatabaseError:
        logger.exception("A receiver of user_logged_in broke the transaction. Their changes are undone.")
