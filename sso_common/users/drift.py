"""Compares snapshots with this site's users. Writes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.contrib.auth import get_user_model

from sso_common import conf
from sso_common.models import Account
from sso_common.snapshot import UserSnapshot

from .groups import mapped_groups, memberships
from .mapper import local_values
from .mapping import current_mapping
from .passwords import has_surplus_password
from .unique import allowed_values, unique_text_fields


@dataclass(frozen=True, slots=True)
class Drift:
    """A subject that this site and the portal describe differently."""

    sub: uuid.UUID
    kind: Literal["missing", "behind", "ahead", "differs", "extra"]
    fields: tuple[str, ...] = ()


def find_drift(snapshots: Iterable[UserSnapshot]) -> list[Drift]:
    """Compare snapshots with this site's users, field by field."""
    page = {snapshot.sub: snapshot for snapshot in snapshots}
    accounts = Account._default_manager.select_related("user").in_bulk(list(page))
    groups = memberships([account.user_id for account in accounts.values()])
    found = []
    for sub, snapshot in page.items():
        account = accounts.get(sub)
        if account is None:
            if not snapshot.deleted:
                found.append(Drift(sub, "missing"))
        elif account.version != snapshot.version:
            found.append(Drift(sub, "behind" if account.version < snapshot.version else "ahead"))
        elif names := differences(snapshot, account, set(groups.get(account.user_id, ()))):
            found.append(Drift(sub, "differs", tuple(names)))
    return found


def differences(snapshot: UserSnapshot, account: Account, groups: set[str]) -> list[str]:
    """Return the fields that differ; "account", "user", "groups" and "configuration" (the user was written
    with another one) stand for what has no field."""
    is_active = snapshot.is_active and not snapshot.deleted
    state = (account.is_active, account.is_deleted, account.not_before)
    names = [] if state == (is_active, snapshot.deleted, snapshot.not_before) else ["account"]
    user = account.user
    if user is None:
        return names if snapshot.deleted else [*names, "user"]
    if account.is_active and account.mapping != current_mapping().fingerprint:
        names.append("configuration")
    model, mapper = get_user_model(), conf.user_mapper()()
    unique = unique_text_fields(model)
    for name, value in local_values(model, mapper, snapshot, user).items():
        allowed = [value]
        if name in unique:
            allowed = allowed_values(mapper, model._meta.get_field(name), value, snapshot.sub)
        if getattr(user, name) not in allowed:
            names.append(name)
    if has_surplus_password(user):
        names.append("password")
    return names if groups == mapped_groups(snapshot) else [*names, "groups"]
