"""The session engine: ``SESSION_ENGINE = "sso_common.sessions"``.

The middleware makes a ``SessionStore`` for each request, from a session token (signed in), a session key
(anonymous), or both. It reads nothing until a view does.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.utils.crypto import get_random_string

from . import store
from .adoption import OVERRIDDEN_SID
from .authentication import AuthenticatedSession
from .fields import Stored, decode_fields, encode_fields, find_changes
from .flows import Flow, both

__all__ = ["CreateError", "SessionStore", "UpdateError"]

KEY_LENGTH: Final = 40


class SessionStore(AuthenticatedSession):
    """Django's session contract over the shared store. Each save writes only the keys that changed.

    A subclass overrides a flow, not a method: ``save_flow`` is what ``save``, ``asave`` and ``create`` do.
    """

    @property
    def session_key(self) -> str | None:
        """The ``sid`` where a user is signed in, else the anonymous key or None."""
        self.resolve()
        return self._session_key

    def is_empty(self) -> bool:
        """Whether there is neither a key nor data. As in Django, a presented key counts until it was
        looked up."""
        return self._unresolved is None and super().is_empty()

    def open_flow(self, no_load: bool = False) -> Flow[dict[str, Any]]:
        """``load_data``, as part of another flow."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if self._unresolved is not None:
                yield from self.resolve_flow()
            elif self._session_key is None or no_load:
                self._session_cache, self._stored = {}, Stored({})
            else:
                yield from self.load_flow()
        return self._session_cache

    def load_data(self, no_load: bool = False) -> dict[str, Any]:
        """The data, read from the store at the first access."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self.run(self.open_flow(no_load))
        return self._session_cache

    async def aload_data(self, no_load: bool = False) -> dict[str, Any]:
        """``load_data`` for async code."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            await self.arun(self.open_flow(no_load))
        return self._session_cache

    _get_session, _aget_session = load_data, aload_data  # Django's names
    _session = property(_get_session)

    def load_flow(self) -> Flow[dict[str, Any]]:
        """The data as it is stored. Unsaved changes in this object stay. Raises ``StoreUnavailable``."""
        if self._unresolved is not None and not hasattr(self, "_session_cache"):
            yield from self.resolve_flow()
            return self._session_cache
        yield from self.resolve_flow()
        fields: dict[bytes, bytes] = {}
        if self._token is not None:
            fields = (yield from store.read_session(self._token.sid)).fields
        elif self._session_key is not None:
            fields = yield from store.read_anonymous(self._session_key)
        if self._token is None and not fields:
            self._session_key = None  # see _open
        if hasattr(self, "_session_cache"):
            return decode_fields(fields, self.serializer())
        self._set_data(self._decode(fields))
        return self._session_cache

    load, aload = both(load_flow)

    def exists_flow(self, session_key: str) -> Flow[bool]:
        """Whether an anonymous session with this key exists. Raises ``StoreUnavailable``."""
        return bool(session_key) and (yield from store.anonymous_exists(session_key))

    exists, aexists = both(exists_flow)

    def create_flow(self) -> Flow[None]:
        """Make an anonymous session with a new key, and save it.

        A signed-in session keeps the name that the portal gave it.
        """
        yield from self.resolve_flow()
        if self._token is not None:
            yield from self.save_flow()
        while self._token is None:
            self._session_key = get_random_string(KEY_LENGTH)
            try:
                yield from self.save_flow(must_create=True)
            except CreateError:
                continue
            break
        self.modified = True

    create, acreate = both(create_flow)

    def save_flow(self, must_create: bool = False) -> Flow[None]:
        """Write the keys that changed, and no others, in one atomic step.

        Raises ``UpdateError`` if the session has ended in the meantime, ``CreateError`` if
        ``must_create`` is set and the session exists, and ``StoreUnavailable``.
        """
        yield from self.resolve_flow()
        # May find that there is no session with the presented key, and forget the key.
        data = yield from self.open_flow(no_load=must_create)
        if self.overridden is not None and data and not self.has_local_login():
            data[OVERRIDDEN_SID] = self.overridden.sid  # of a user whose login has just ended: not adopted
        if self._token is None and self._session_key is None:
            yield from self.create_flow()
            return
        stored = None if must_create else self._stored
        encoded = encode_fields(data, self.serializer(), stored)
        changes = find_changes(encoded, stored)
        if self._token is not None:
            is_saved = yield from store.save_site_session(self._token.sid, changes, self.get_expiry_age())
        else:
            is_saved = yield from store.save_anonymous(
                self._session_key or "", changes, self.get_expiry_age(), create=must_create
            )
        if not is_saved:
            raise CreateError if must_create and self._token is None else UpdateError
        self._stored = Stored({store.MARKER: b"", **encoded}, dict(data))

    save, asave = both(save_flow)

    def delete_flow(self, session_key: str | None = None) -> Flow[None]:
        """Delete a session of this site; by default, the current one.

        Where a user is signed in, this deletes the site's own data. To sign out, see ``sign_out``.
        """
        yield from self.resolve_flow()
        if self._token is not None and session_key in (None, self._token.sid):
            yield from store.delete_site_session(self._token.sid)
            self._stored = None
        elif key := self._session_key if session_key is None else session_key:
            yield from store.delete_anonymous(key)

    delete, adelete = both(delete_flow)

    def clear(self) -> None:
        """Delete all data, including what another request adds in the meantime."""
        super().clear()
        self._stored = None

    def flush_flow(self) -> Flow[None]:
        """Delete this site's session data. A signed-in session itself goes on: a site that flushes by
        mistake must not sign users out everywhere."""
        yield from self.resolve_flow()
        self.clear()
        yield from self.delete_flow()
        if self._token is None:
            self._session_key = None

    flush, aflush = both(flush_flow)

    def cycle_key_flow(self) -> Flow[None]:
        """Give an anonymous session a new key. A signed-in session has had a new name since sign-in,
        and keeps it."""
        yield from self.resolve_flow()
        if self._token is not None:
            self.modified = True
            return
        yield from self.open_flow()
        key = self._session_key
        yield from self.create_flow()
        if key:
            yield from self.delete_flow(key)

    cycle_key, acycle_key = both(cycle_key_flow)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: every key in Redis has a time to live."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do nothing: see ``clear_expired``."""
