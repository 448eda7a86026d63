"""Lets only the first of several simultaneous requests do something."""

from __future__ import annotations

import hashlib

from django.core.cache import cache


def claim_once(what: str, *, seconds: int) -> bool:
    """Return whether nobody has claimed this within so many seconds. Secrets in the text stay secret."""
    digest = hashlib.sha256(what.encode()).hexdigest()
    return bool(cache.add(f"claim:{digest}", 1, seconds))
