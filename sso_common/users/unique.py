"""Gives synced users values that no other user of this site has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from .change import Change
from .mapper import UserMapper


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another user of this site has the value of a unique field; the synced user got a different one."""

    sub: uuid.UUID
    field: str


@dataclass(frozen=True, slots=True)
class Owner:
    """A user outside the page who has a value that a user of the page wants."""

    pk: Any
    value: str
    sub: Any
    #: None, like ``sub``, for a user who is not synced.
    version: int | None

    def must_yield(self, change: Change, value: str) -> bool:
        """Whether the owner has lost ``value`` at the portal.

        Usernames and addresses are unique at the portal. If two synced users claim one, the older
        snapshot is out of date, and the snapshot that says so follows. A local user never yields, nor does
        a user whose value is the same in this database only, which may ignore accents.
        """
        snapshot = change.snapshot
        return (
            self.version is not None
            and self.version < snapshot.version
            and fold(self.value) == fold(value)
            and fold(value) in {fold(snapshot.username), fold(snapshot.email)}
        )


class UniqueField:
    """A text field in which no two users may have the same value, in any letter case.

    Reads who has the values that ``changes`` want. ``make_unique`` then chooses.
    """

    def __init__(self, name: str, changes: Sequence[Change], mapper: UserMapper, using: str) -> None:
        self.model: Any = get_user_model()
        self.name = name
        self.field: Any = self.model._meta.get_field(name)
        self.mapper = mapper
        self.users = self.model._base_manager.using(using)
        self.allowed = {
            change: allowed_values(mapper, self.field, change.values[name], change.snapshot.sub)
            for change in changes
            if name in change.values
        }
        #: {folded value: user outside the page who has it}; None: nobody has it.
        self.owners: dict[str, Owner | None] = {}
        # For one user, ``owner`` asks for one value at a time: most often, the first one is free.
        if len(self.allowed) > 1:
            self.find_owners({value for values in self.allowed.values() for value in values if value})

    def yielding(self) -> set[uuid.UUID]:
        """Return the subjects outside the page who may have to yield a value."""
        wanted = [(change, values[0]) for change, values in self.allowed.items() if values[0]]
        owners = [(self.owner(value), change, value) for change, value in wanted]
        return {owner.sub for owner, change, value in owners if owner and owner.must_yield(change, value)}

    def make_unique(self, changes: Iterable[Change]) -> list[Conflict]:
        """Replace values that are taken in ``changes``, and save the users who have to yield one."""
        changes = [change for change in changes if change in self.allowed]
        taken: set[str] = set()
        yielding, conflicts = [], []
        # Users keep the value that they have. Among the others, the oldest version chooses first.
        order = sorted(changes, key=lambda change: (not self.keeps(change), change.snapshot.version))
        for change in order:
            value, owner = self.pick(change, taken)
            if owner is not None:
                yielding.append(self.replace_value(self.model(pk=owner.pk), owner.sub, value))
            if change.values[self.name] and value != change.values[self.name]:
                conflicts.append(Conflict(change.snapshot.sub, self.name))
            change.values[self.name] = value
            taken |= {fold(value)} if value else set()
        # Two users of the page may swap values: an UPDATE of one of them must not hit the other.
        for change in changes:
            value = None if change.is_new else getattr(change.user, self.name)
            if value and fold(value) in taken and not self.keeps(change):
                yielding.append(self.replace_value(change.user, change.snapshot.sub, value))
        if yielding:
            self.users.bulk_update(yielding, [self.name])
        return conflicts

    def keeps(self, change: Change) -> bool:
        """Whether the user already has the value."""
        wanted, present = change.values[self.name], getattr(change.user, self.name)
        return bool(wanted and present) and not change.is_new and fold(present) == fold(wanted)

    def replace_value(self, user: Any, sub: uuid.UUID, value: str) -> Any:
        setattr(user, self.name, self.mapper.alternatives(self.field, value, sub)[-1])
        return user

    def pick(self, change: Change, taken: set[str]) -> tuple[Any, Owner | None]:
        """Return the first allowed value that is free, and the owner who has to yield it, if any."""
        allowed = self.allowed[change]
        for value in allowed[:-1]:
            if not value:
                return value, None
            if fold(value) in taken:
                continue
            owner = self.owner(value)
            if owner is None:
                return value, None
            if value is allowed[0] and owner.must_yield(change, value):
                return value, owner
        return allowed[-1], None

    def owner(self, value: str) -> Owner | None:
        """Return the user outside the page who has a value."""
        if len(self.allowed) == 1 and fold(value) not in self.owners:
            self.find_owners({value})
        return self.owners.get(fold(value))

    def find_owners(self, values: set[str]) -> None:
        """Find who has these values."""
        # LOWER in SQLite knows ASCII only.
        not_ascii = {value for value in values if not value.isascii()}
        rows = (
            self.users.alias(_folded=Lower(self.name))
            .filter(Q(_folded__in={fold(value) for value in values}) | Q(**{f"{self.name}__in": not_ascii}))
            .exclude(pk__in=[change.user.pk for change in self.allowed if not change.is_new])
            .values_list("pk", self.name, "sso_account__sub", "sso_account__version")
        )
        found: dict[str, Owner | None] = {
            fold(value): Owner(pk, value, sub, version) for pk, value, sub, version in rows
        }
        if len(values) == 1:
            # Whatever was found is equal in the column's collation, which may ignore accents, too.
            found = dict.fromkeys(map(fold, values), next(iter(found.values()), None))
        self.owners |= found


def allowed_values(mapper: UserMapper, field: Any, value: Any, sub: uuid.UUID) -> list[Any]:
    """Return the values that a user may have in a unique field, best first."""
    alternatives = mapper.alternatives(field, value or "user", sub)
    # Two users cannot both have an empty value.
    return [value, *alternatives] if value else alternatives


def unique_text_fields(model: Any) -> frozenset[str]:
    """Return the text fields that are unique by column or by constraint, and the username."""
    options = model._meta
    names = {model.USERNAME_FIELD}
    names |= {field.name for field in options.concrete_fields if field.unique and not field.primary_key}
    names |= {each.fields[0] for each in options.total_unique_constraints if len(each.fields) == 1}
    for constraint in options.constraints:
        if isinstance(constraint, models.UniqueConstraint) and len(constraint.expressions) == 1:
            # UniqueConstraint(Lower("email"), …)
            expression: Any = constraint.expressions[0]
            names |= {each.name for each in expression.flatten() if hasattr(each, "name")}
    text = (models.CharField, models.TextField)
    return frozenset(
        field.name for field in options.concrete_fields if field.name in names and isinstance(field, text)
    )


def fold(value: str) -> str:
    """Return a value without its letter case."""
    return str(value).lower()
