"""Links the users that a site already has to their subjects at the portal, and unlinks them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import DatabaseError, router
from django.db.models import Q

from sso_common import conf
from sso_common.database import atomically
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot

from .change import Change, no_longer_given
from .groups import write_groups
from .mapping import current_mapping, stored_mappings
from .roles import apply_roles, twin
from .saving import update_users
from .upsert import ROW_ERRORS, upsert_users


@dataclass(frozen=True, slots=True)
class Candidate:
    """A local user and the subject with the same email address."""

    user: AbstractBaseUser
    snapshot: UserSnapshot
    #: "link" if the two can be linked. Otherwise "ambiguous", "unverified", "taken", "other",
    #: "privileged" or "inactive". The command adds "linked" and "failed".
    status: str


def find_candidates(
    snapshots: Iterable[UserSnapshot], include_staff: list[str] | None = None
) -> Iterator[Candidate]:
    """Yield each local user without an account whose email address a user of the portal has.

    ``include_staff``: usernames of staff who may be linked; an empty list for all, None for none.
    """
    model: Any = get_user_model()
    email_field = model.get_email_field_name()
    portal = {snapshot.email.lower(): snapshot for snapshot in snapshots if snapshot.email}
    linked = set(Account._default_manager.values_list("sub", flat=True))
    local = model._default_manager.filter(sso_account=None).order_by("pk").iterator(chunk_size=2000)
    users = [(address.lower(), user) for user in local if (address := getattr(user, email_field))]
    count = Counter(address for address, _ in users)
    for address, user in users:
        if address not in portal:
            continue
        snapshot = portal[address]
        # The first reason that applies counts.
        reasons = {
            "ambiguous": count[address] > 1,
            "unverified": not snapshot.email_verified,
            "taken": snapshot.sub in linked,
            "privileged": is_privileged(user) and not is_included(user, include_staff),
            "inactive": not user.is_active,
        }
        status = next((reason for reason, applies in reasons.items() if applies), "link")
        yield Candidate(user, snapshot, status)


def is_privileged(user: AbstractBaseUser) -> bool:
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def is_included(user: AbstractBaseUser, include_staff: list[str] | None) -> bool:
    return include_staff is not None and (not include_staff or user.get_username() in include_staff)


def link_user(user: AbstractBaseUser, snapshot: UserSnapshot, *, keep_password: bool = False) -> None:
    """Link a local user to a subject, and write the snapshot to the user.

    From then on, the user signs in at the portal. Unless ``keep_password`` is set, the local
    password becomes unusable. Raises ``ValidationError`` if the user or the subject is linked
    already, and what the database or the mapper raises.
    """
    for failure in link_users([(user, snapshot)], keep_passwords=keep_password).values():
        raise failure


def link_users(
    pairs: list[tuple[Any, UserSnapshot]], *, keep_passwords: bool = False
) -> dict[uuid.UUID, Exception]:
    """``link_user`` for many users at once; returns {subject: what prevented the link}.

    The number of queries does not grow with the number of pairs, unless one of them fails.
    """
    try:
        write_links(pairs, keep_passwords)
    except (*ROW_ERRORS, DatabaseError) as error:
        if len(pairs) == 1:
            return {pairs[0][1].sub: error}
        failures = [link_users([pair], keep_passwords=keep_passwords) for pair in pairs]
        return {sub: each for failed in failures for sub, each in failed.items()}
    return {}


def write_links(pairs: list[tuple[Any, UserSnapshot]], keep_passwords: bool) -> None:
    using = router.db_for_write(Account)
    accounts = Account._default_manager.using(using)
    users, snapshots = [user for user, _ in pairs], [snapshot for _, snapshot in pairs]

    def link() -> None:
        FeedCursor.lock()
        if accounts.filter(Q(pk__in=[each.sub for each in snapshots]) | Q(user__in=users)).exists():
            raise ValidationError("The user or the subject is already linked.")
        # Version -1 is older than any snapshot, so the upsert below writes the user.
        accounts.bulk_create(
            [Account(sub=each.sub, user_id=user.pk, version=-1) for user, each in pairs],
        )
        if not keep_passwords:
            for user in users:
                user.set_unusable_password()
            update_users([(user, ["password"]) for user in users], using)
        for failure in upsert_users(snapshots, source="link").failed:
            raise failure.error

    atomically(using, link)


def unlink_user(user: Any) -> uuid.UUID:
    """Remove the link of a local user, and what roles gave; return the subject.

    The user stays, with its data. The person gets a new, second user at the next visit. Raises
    ``ValidationError`` if the user is not linked.
    """
    using = router.db_for_write(Account)
    accounts = Account._default_manager.using(using).filter(user=user.pk)

    def unlink() -> uuid.UUID:
        FeedCursor.lock()
        Account.lock(accounts.values_list("sub", flat=True))
        account = accounts.first()
        if account is None:
            raise ValidationError("The user is not linked.")
        current, mapper = current_mapping(), conf.user_mapper()()
        last = stored_mappings([account.mapping], using).get(account.mapping, current)
        values = no_longer_given(last, current) | apply_roles(mapper, twin(user), frozenset())
        nobody = UserSnapshot(sub=account.sub, version=account.version)
        change = Change(nobody, account, user, values, False, False, frozenset(last.groups))
        change.apply()
        if change.changed:
            update_users([(user, change.changed)], using)
        write_groups([change], using)
        sub = account.sub
        account.delete()
        return sub

    return atomically(using, unlink)
