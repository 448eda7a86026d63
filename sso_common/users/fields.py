"""What the fields of a model are like."""

from __future__ import annotations

from typing import Any

from django.db import models


def has_field(model: Any, name: str) -> bool:
    """Whether a model has a column for a field of this name."""
    return any(field.name == name for field in model._meta.concrete_fields)


def has_own_value(field: models.Field[Any, Any]) -> bool:
    """Whether the model or the database provides a value for a field."""
    if field.null or field.has_default() or field.has_db_default() or is_automatic(field):
        return True
    # Text defaults to "", which only one user can have in a unique field.
    return field.empty_strings_allowed and not field.unique


def is_automatic(field: models.Field[Any, Any]) -> bool:
    """Whether a field sets its value by itself."""
    automatic = ("auto_now", "auto_now_add", "auto_created", "generated")
    return isinstance(field, models.AutoField) or any(getattr(field, name, False) for name in automatic)
