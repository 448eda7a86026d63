"""Links the users that a site already has to their subjects at the portal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Q

from sso_common.database import atomically
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot

from .upsert import upsert_users


@dataclass(frozen=True, slots=True)
class Candidate:
    """A local user and the subject with the same email address."""

    user: AbstractBaseUser
    snapshot: UserSnapshot
    #: "link" if the two can be linked. Otherwise "ambiguous", "unverified", "taken", "privileged" or
    #: "inactive". The command adds "linked" and "failed".
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
    using = router.db_for_write(Account)
    accounts = Account._default_manager.using(using)

    def link() -> None:
        FeedCursor.lock()
        if accounts.filter(Q(pk=snapshot.sub) | Q(user=user)).exists():
            raise ValidationError("The user or the subject is already linked.")
        # Version -1 is older than any snapshot, so the upsert below writes the user.
        accounts.create(sub=snapshot.sub, user_id=user.pk, version=-1)
        if not keep_password:
            user.set_unusable_password()
            user.save(using=using, update_fields=["password"])
        for failure in upsert_users([snapshot], source="link").failed:
            raise failure.error

    atomically(using, link)
