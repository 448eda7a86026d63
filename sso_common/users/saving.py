"""Writes fields of many users at once, with all else that ``Model.save`` does."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import ModelSignal, post_save, pre_save


def update_users(changes: list[tuple[Any, list[str]]], using: str) -> None:
    """Write the named fields of users in one statement, and do all else that ``Model.save`` does: send
    signals, and set fields with ``auto_now``."""
    for user, names in changes:
        send(pre_save, user, names, using)
    changed = {name for _, names in changes for name in names}
    model = get_user_model()
    if changed:
        automatic = [each for each in model._meta.concrete_fields if getattr(each, "auto_now", False)]
        for user, _ in changes:
            for each in automatic:
                each.pre_save(user, add=False)
        fields = sorted(changed | {each.name for each in automatic})
        model._base_manager.using(using).bulk_update([user for user, _ in changes], fields)
    for user, names in changes:
        send(post_save, user, names, using, created=False)


def send(signal: ModelSignal, user: Any, names: list[str] | None, using: str, **extra: bool) -> None:
    """Send a signal as ``Model.save`` does. ``names``: the fields that are updated; None for a new user."""
    update_fields = None if names is None else frozenset(names)
    signal.send(
        sender=type(user), instance=user, raw=False, using=using, update_fields=update_fields, **extra
    )
