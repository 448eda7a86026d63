"""One snapshot on its way into the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model

from sso_common.models import Account
from sso_common.snapshot import UserSnapshot

from .mapper import UserMapper, local_values


@dataclass(slots=True, eq=False)
class Change:
    """A snapshot, with the account and the user that it is going to be written to."""

    snapshot: UserSnapshot
    account: Account
    user: Any
    #: {field of the user: value to write}
    values: dict[str, Any]
    is_new: bool
    #: The user was active before and is not after this change. Tombstones do not count.
    deactivates: bool

    def apply(self) -> list[str]:
        """Set the values on the user; return the fields that changed."""
        changed = [
            name for name, value in self.values.items() if self.is_new or getattr(self.user, name) != value
        ]
        for name in changed:
            setattr(self.user, name, self.values[name])
        return changed


def plan_change(snapshot: UserSnapshot, account: Account | None, mapper: UserMapper) -> Change:
    """Update the account (unsaved), and leave the user as it is. ``account`` is None for a new subject."""
    account = account or Account(sub=snapshot.sub, is_active=False)
    is_active = snapshot.is_active and not snapshot.deleted
    change = Change(
        snapshot=snapshot,
        account=account,
        user=get_user_model()() if account.user is None else account.user,
        values=local_values(get_user_model(), mapper, snapshot),
        is_new=account.user is None,
        deactivates=account.is_active and not is_active and not snapshot.deleted,
    )
    account.version = snapshot.version
    account.not_before = snapshot.not_before
    account.is_active = is_active
    account.is_deleted = snapshot.deleted
    return change
