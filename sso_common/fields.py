"""The codec between session data and the fields of a hash in Redis: one field for each session key.

So a save sends only the fields that changed, and concurrent saves of different keys both survive.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .store import ANNOUNCED, MARKER, Changes

security_logger = logging.getLogger("django.security.sso")

Fields = dict[bytes, bytes]

#: Fields that start with it are not session keys: see ``store.names``.
NUL = b"\x00"


class Serializer(Protocol):
    """Django's ``SESSION_SERIALIZER``; the system checks insist on JSON."""

    def dumps(self, obj: Any) -> bytes: ...
    def loads(self, data: bytes) -> Any: ...


class Stored(NamedTuple):
    """What is known to be stored: the encoded fields, and the values that they were decoded to."""

    fields: Fields
    values: Mapping[str, Any] = {}


def encode_fields(data: Mapping[str, Any], serializer: Serializer, stored: Stored | None = None) -> Fields:
    """Encode session data. Values that have not changed since they were loaded are not encoded again."""
    unchanged = unchanged_fields(data, serializer, stored) if stored is not None else {}
    return {
        encode_name(name): unchanged[name] if name in unchanged else serializer.dumps(value)
        for name, value in data.items()
    }


def unchanged_fields(data: Mapping[str, Any], serializer: Serializer, stored: Stored) -> dict[str, bytes]:
    """{name: encoded value} of the loaded values, if none of them has changed; else an empty mapping.

    An object that is still the loaded one may have been changed in place. Encoding all of them as one
    list takes a fraction of the time of encoding each, and shows whether any has changed.
    """
    same = {
        name: stored.fields[encoded]
        for name, value in stored.values.items()
        if name in data
        and data[name] is value
        and (encoded := name.encode("utf-8", "surrogatepass")) in stored.fields
    }
    is_unchanged = serializer.dumps([data[name] for name in same]) == b"[%s]" % b",".join(same.values())
    return same if is_unchanged else {}


def decode_fields(fields: Mapping[bytes, bytes], serializer: Serializer) -> dict[str, Any]:
    """Decode stored fields. Damaged data is an empty session and a line in the security log, as in
    Django."""
    data = dict(fields)
    data.pop(MARKER, None)
    data.pop(ANNOUNCED, None)
    if not data:
        return {}
    if min(data).startswith(NUL):
        data = {name: value for name, value in data.items() if not name.startswith(NUL)}
    try:
        # One JSON list is decoded several times faster than its items one by one.
        values = serializer.loads(b"[%s]" % b",".join(data.values()))
        return dict(zip(map(bytes.decode, data), values, strict=True))
    except (ValueError, TypeError):
        # The serializer cannot decode such a list, or a name is not UTF-8, or the data is damaged.
        pass
    try:
        return {decode_name(name): serializer.loads(value) for name, value in data.items()}
    except (ValueError, TypeError):
        security_logger.warning("Session data corrupted")
        return {}


def find_changes(encoded: Fields, stored: Stored | None) -> Changes:
    """What a save has to write. Without knowledge of what is stored, it replaces everything."""
    if stored is None:
        return Changes(put={MARKER: b"", **encoded}, replace=True)
    put = {name: value for name, value in encoded.items() if stored.fields.get(name) != value}
    if MARKER not in stored.fields:
        put[MARKER] = b""
    drop = [name for name in stored.fields if name not in encoded and not name.startswith(NUL)]
    return Changes(put=put, drop=drop)


def encode_name(name: Any) -> bytes:
    """The field of a session key. Keys that are not text become text as in JSON, and as in Django's
    own session engines."""
    if isinstance(name, bool):
        name = "true" if name else "false"
    elif name is None:
        name = "null"
    elif not isinstance(name, str | int | float):
        raise TypeError(f"A session key must be text, not {type(name).__name__}.")
    encoded = str(name).encode("utf-8", "surrogatepass")
    if encoded.startswith(NUL):
        raise ValueError("A session key cannot start with NUL.")
    return encoded


def decode_name(encoded: bytes) -> str:
    """The session key of a field."""
    return encoded.decode("utf-8", "surrogatepass")
