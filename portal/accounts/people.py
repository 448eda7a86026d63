"""Finds people by what an operator types in a command."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db.models import Q


def find_person(text: str) -> Any:
    """Return the user with this username, email address or subject. Raises ``CommandError``."""
    # An address counts if it is confirmed, and a username that looks like one is nobody's name.
    wanted = Q(email__iexact=text, email_verified=True) if "@" in text else Q(username__iexact=text)
    with contextlib.suppress(ValueError):
        wanted |= Q(sub=uuid.UUID(text))
    found = list(get_user_model().objects.filter(wanted)[:2])
    if len(found) != 1:
        raise CommandError(f"There is {'more than one' if found else 'no'} person named {text!r}.")
    return found[0]
