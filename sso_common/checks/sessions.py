"""Checks of the session engine and its serializer."""

from __future__ import annotations

import json

from django.conf import settings

from sso_common.sessions import SessionStore

from .imports import imported_class
from .messages import Messages, check, error, warning


@check
def check_engine() -> Messages:
    """Sessions are stored by sso_common.sessions."""
    if not issubclass(imported_class(f"{settings.SESSION_ENGINE}.SessionStore"), SessionStore):
        yield error(
            "E009",
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which does not use the shared session.",
            'Write in the settings: SESSION_ENGINE = "sso_common.sessions"',
        )
    if settings.SESSION_SAVE_EVERY_REQUEST:
        yield warning(
            "W006",
            "SESSION_SAVE_EVERY_REQUEST costs a write to Redis for every request.",
            "Write in the settings: SESSION_SAVE_EVERY_REQUEST = False. Sessions in use stay alive anyway.",
        )
    if settings.SESSION_EXPIRE_AT_BROWSER_CLOSE:
        yield warning(
            "W015",
            "SESSION_EXPIRE_AT_BROWSER_CLOSE has no effect on users who are signed in at the portal, which "
            "sets their cookie.",
            "Write in the settings: SESSION_EXPIRE_AT_BROWSER_CLOSE = False. Users choose at the portal "
            "whether they stay signed in.",
        )


@check
def check_serializer() -> Messages:
    """Session values are stored as JSON."""
    serializer = imported_class(settings.SESSION_SERIALIZER)
    if "pickle" in serializer.__name__.lower() or not makes_json(serializer):
        yield error(
            "E010",
            f"SESSION_SERIALIZER is {settings.SESSION_SERIALIZER!r}, which does not produce JSON. With "
            "pickle, anyone who can write to Redis can run code here.",
            "Write in the settings: "
            'SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"',
        )


def makes_json(serializer: type) -> bool:
    """Return whether a serializer class encodes a value as the bytes of its JSON."""
    try:
        encoded = serializer().dumps({"a": 1})
        return isinstance(encoded, bytes) and json.loads(encoded) == {"a": 1}
    except Exception:  # noqa: BLE001  an unknown class can raise anything, and then it makes no JSON
        return False
