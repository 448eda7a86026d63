"""One snapshot on its way into the database."""

from __future__ import annotations

import time
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model

from sso_common.models import Account, Mapping
from sso_common.snapshot import UserSnapshot

from .fields import has_field
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
    #: Names of the groups that the mapping gave with which the user was last written.
    former_groups: frozenset[str] = frozenset()
    #: Set by ``apply``.
    changed: list[str] = field(default_factory=list)

    def apply(self) -> None:
        """Set the values on the user, and note the fields that changed."""
        for name, value in self.values.items():
            if self.is_new or getattr(self.user, name) != value:
                setattr(self.user, name, value)
                self.changed.append(name)


def plan_change(
    snapshot: UserSnapshot,
    account: Account | None,
    mapper: UserMapper,
    current: Mapping,
    former: Dict[str, Mapping],
) -> Change:
    """Update the account, unsaved. ``account`` is None for a new subject.

    ``former`` are the mappings with which users were written, by fingerprint. What such a mapping gave
    and the current one does not know is taken away.
    """
    model = get_user_model()
    account = account or Account(sub=snapshot.sub, is_active=False)
    user = account.user
    if user is None:
        user = model()
        user.set_unusable_password()
    is_active = snapshot.is_active and not snapshot.deleted
    last = former.get(account.mapping, current)
    change = Change(
        snapshot=snapshot,
        account=account,
        user=user,
        values=no_longer_given(last, current) | local_values(model, mapper, snapshot, user),
        is_new=account.user is None,
        deactivates=account.is_active and not is_active and not snapshot.deleted,
        former_groups=frozenset(last.groups),
    )
    account.version = snapshot.version
    account.not_before = snapshot.not_before
    account.is_active = is_active
    account.is_deleted = snapshot.deleted
    account.mapping, account.mapped_at = current.fingerprint, int(time.time())
    return change


def no_longer_given(last: Mapping, current: Mapping) -> dict[str, Any]:
    """Return {field: its value without roles} of the fields that only the last mapping's roles decided."""
    return {
        name: value
        for name, value in last.withdrawn.items()
        if name not in current.withdrawn and has_field(get_user_model(), name)
    }
