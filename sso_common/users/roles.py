"""What the mapper's ``apply_roles`` sets on a user."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from .mapper import UserMapper


def apply_roles(mapper: UserMapper, user: Any, roles: frozenset[str]) -> dict[str, Any]:
    """Let the mapper apply roles to a user that is not saved afterwards; return {column: value} of what it
    changed. Raises ``ImproperlyConfigured`` for the password and the key."""
    before = dict(user.__dict__)
    mapper.apply_roles(user, roles)
    columns = [field.attname for field in user._meta.concrete_fields]
    values = {
        name: user.__dict__[name]
        for name in columns
        if name in user.__dict__ and user.__dict__[name] != before.get(name)
    }
    if forbidden := {"password", user._meta.pk.attname} & values.keys():
        raise ImproperlyConfigured(f"SSO_USER_MAPPER: apply_roles must not set {min(forbidden)!r}.")
    return values


def twin(user: Any) -> Any:
    """Return a copy of a user. ``copy.copy`` takes longer, and looks up the model by its name."""
    copied = user.__class__.__new__(user.__class__)
    copied.__dict__.update(user.__dict__)
    copied._state = copy.copy(user._state)
    copied._state.fields_cache = dict(user._state.fields_cache)
    return copied


class Recorder:
    """Stands in for a user, and notes which names are set."""

    def __init__(self, user: Any) -> None:
        vars(self).update(user=user, names=set())

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["user"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        vars(self)["names"].add(name)
        setattr(vars(self)["user"], name, value)


class EveryRole(frozenset[str]):
    """Holds every role, whatever its name."""

    def __contains__(self, role: object) -> bool:
        return True

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        return not list(other)

    def __and__(self, other: Any) -> frozenset[str]:
        return frozenset(other)

    __rand__ = __and__

    def intersection(self, *others: Iterable[Any]) -> frozenset[str]:
        return frozenset.intersection(*map(frozenset, others))


def names_set(mapper: UserMapper, model: Any, roles: frozenset[str] = frozenset()) -> set[str]:
    """Return the names that ``apply_roles`` sets on a new user with these roles."""
    recorder = Recorder(model())
    mapper.apply_roles(recorder, roles)
    return set(vars(recorder)["names"])


def withdrawn_values(mapper: UserMapper, model: Any) -> dict[str, Any]:
    """Return {field: value} that ``apply_roles`` gives a user without roles."""
    user = model()
    recorder = Recorder(user)
    mapper.apply_roles(recorder, frozenset())
    fields = {field.name: field.attname for field in model._meta.concrete_fields}
    return {name: getattr(user, fields[name]) for name in vars(recorder)["names"] & fields.keys()}
