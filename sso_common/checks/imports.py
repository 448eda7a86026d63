"""Dotted paths from the settings, imported without raising."""

from __future__ import annotations

from types import NoneType

from django.utils.module_loading import import_string


def imported(path: str) -> object:
    """Return what a dotted path names, or None."""
    try:
        return import_string(path)
    except (ImportError, ValueError, AttributeError):
        return None


def imported_class(path: str) -> type:
    """Return the class that a dotted path names, or ``NoneType`` if it is not a class."""
    found = imported(path)
    return found if isinstance(found, type) else NoneType
