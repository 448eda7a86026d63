"""The names of keys in Redis, and of hash fields that are not session keys.

The braces are a hash tag of Redis Cluster: all keys of one session are on one node.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: Fields that start with NUL are not session keys. This one marks a session as existing but empty: Redis
#: has no empty hash.
MARKER: Final = b"\x00"
#: The start of a field that names an anonymous session that was adopted.
ADOPTED: Final = b"\x00adopted:"
#: The site has announced the user of a signed-in session: see ``sso_common.announcing``.
ANNOUNCED: Final = b"\x00announced"


def identity_key(namespace: str, sid: str) -> str:
    """The identity record of a session."""
    return f"{namespace}:{{{sid}}}:identity"


def site_key(namespace: str, sid: str, site: str) -> str:
    """The data of one site in a signed-in session."""
    return f"{namespace}:{{{sid}}}:site:{site}"


def anonymous_key(namespace: str, site: str, session_key: str) -> str:
    """An anonymous session. The session key is hashed, so a dump of Redis opens no session."""
    digest = hashlib.sha256(session_key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{namespace}:anon:{site}:{{{digest}}}"


def claim_key(anonymous_key: str) -> str:
    """The session that is adopting an anonymous session. On the same node."""
    return f"{anonymous_key}:claim"


def user_key(namespace: str, sub: object) -> str:
    """The index of a user's sessions, which only the portal can read."""
    return f"{namespace}:user:{sub}"


def events_key(namespace: str) -> str:
    """The stream of events."""
    return f"{namespace}:events"


def nonce_key(namespace: str, site: str, nonce: str) -> str:
    """A signed request that the portal has already answered."""
    return f"{namespace}:nonce:{site}:{nonce}"
