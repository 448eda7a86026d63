"""Describes what happened to a page of snapshots."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another user of this site has the value of a unique field; the synced user got a different one."""

    sub: uuid.UUID
    field: str


@dataclass(frozen=True, slots=True)
class Failure:
    """This site's database or mapper rejected a snapshot."""

    sub: uuid.UUID
    error: Exception


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """Counts for a page of snapshots.

    Each snapshot counts as created, updated, unchanged, deleted or failed. Results can be added.
    """

    created: int = 0
    updated: int = 0
    #: Not newer than the account, or the tombstone of a user who is unknown here.
    unchanged: int = 0
    #: Tombstones applied.
    deleted: int = 0
    #: Updated users who were active before and are not now.
    deactivated: int = 0
    conflicts: tuple[Conflict, ...] = ()
    failed: tuple[Failure, ...] = ()

    def __add__(self, other: UpsertResult) -> UpsertResult:
        names = [field.name for field in dataclasses.fields(self)]
        return UpsertResult(*(getattr(self, name) + getattr(other, name) for name in names))
