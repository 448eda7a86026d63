"""Finds the local user of a verified identity, in one query."""

from __future__ import annotations

import functools
import uuid
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, models, router
from django.db.models import F, Q

from sso_common import conf
from sso_common.admission import require_admission, require_current
from sso_common.exceptions import LocalLoginRefused, SessionRevoked, UserInactive
from sso_common.identity import Identity
from sso_common.models import Account

from .fields import has_field
from .mapping import is_mapped_anew
from .passwords import is_superuser
from .upsert import upsert_users

#: Columns of the account that are read together with the user, under names that no user model has.
FIELDS: Final = ("version", "not_before", "is_active", "is_deleted", "mapping", "mapped_at")
PREFIX: Final = "_sso_account_"

#: Marks the subject's key among the parameters. A custom base manager may add parameters of its own.
SUBJECT: Final = object()


def resolve_user(identity: Identity) -> AbstractBaseUser:
    """Return the local user of a verified identity.

    If the subject is unknown, known in an older version only, or was written with another mapping of
    roles and fields, the user is first written from the identity record; the portal is not contacted. Raises
    ``UserInactive``, ``SessionRevoked`` or ``NotAdmitted``.
    """
    require_admission(identity, conf.dsn().site)
    account = find_account(identity.sub)
    if account is None or is_behind(account, identity.user.version):
        account = provision(identity)
    if account is None or account.user is None:
        raise UserInactive(str(identity.sub))
    is_active = account.is_active and not account.is_deleted and account.user.is_active
    require_current(identity, is_active=is_active, not_before=account.not_before)
    return account.user


def is_behind(account: Account, version: int) -> bool:
    """Whether a user has to be written again. Reads nothing."""
    return account.version < version or (account.version == version and is_mapped_anew(account))


def require_local_login(user_key: str, since: float, *, is_emergency: bool) -> None:
    """Check a local login: users who are linked to a subject sign in at the portal.

    A superuser can log in locally in an emergency, and all users where ``SSO_LOCAL_LOGIN`` is set.
    ``user_key``: the user's primary key, as Django stores it in a session. ``since``: when the login
    began, in seconds since the epoch. One query. Raises ``LocalLoginRefused``, ``UserInactive`` or
    ``SessionRevoked``.
    """
    key = get_user_model()._meta.pk.to_python(user_key)
    account = Account._default_manager.select_related("user").filter(user=key).first()
    if account is None:
        return
    sub = str(account.sub)
    if not (conf.local_login() or (is_emergency and is_superuser(account.user))):
        raise LocalLoginRefused(sub)
    if not account.is_active or account.is_deleted:
        raise UserInactive(sub)
    if since < account.not_before:
        raise SessionRevoked(sub)


def is_linked_name(name: Any) -> bool:
    """Whether all users who have this name or email address are linked to subjects. One query.

    Which of them a login form means, the form's backend decides.
    """
    model: Any = get_user_model()
    named, address = Q(**{model.USERNAME_FIELD: name}), model.get_email_field_name()
    if "@" in str(name) and has_field(model, address):
        named |= Q(**{f"{address}__iexact": name})
    subjects = set(model._default_manager.filter(named).values_list("sso_account", flat=True))
    return bool(subjects) and None not in subjects


def find_account(sub: uuid.UUID) -> Account | None:
    """Return the account of a subject together with its user, or None if it has no user.

    Every request runs this query. Its SQL never changes, and compiling it takes the ORM several
    times as long as running it, so it is compiled once (see benchmarks/README.md).
    """
    alias = router.db_for_read(Account)
    model = get_user_model()
    sql, template = account_query(model, alias)
    parameters = [database_key(sub, alias) if each is SUBJECT else each for each in template]
    for user in model._base_manager.using(alias).raw(sql, parameters):
        values = [user.__dict__.pop(PREFIX + name) for name in FIELDS]
        account = Account.from_db(alias, ("sub", "user_id", *FIELDS), (sub, user.pk, *values))
        account.user = user
        return account
    return None


@functools.lru_cache(maxsize=8)
def account_query(model: type[models.Model], alias: str) -> tuple[str, list[Any]]:
    """Compile the query of ``find_account``; return its SQL, and its parameters with ``SUBJECT``."""
    columns = {PREFIX + name: F(f"sso_account__{name}") for name in FIELDS}
    stand_in = uuid.UUID(int=0)
    rows = model._base_manager.using(alias).filter(sso_account__pk=stand_in).annotate(**columns)
    sql, parameters = rows.query.get_compiler(alias).as_sql()
    key = database_key(stand_in, alias)
    return str(sql), [SUBJECT if each == key else each for each in parameters]


def database_key(sub: uuid.UUID, alias: str) -> Any:
    return Account._meta.pk.get_db_prep_value(sub, connections[alias])


def provision(identity: Identity) -> Account | None:
    """Write the user from the identity record."""
    result = upsert_users([identity.snapshot_for(conf.dsn().site)], source="identity")
    for failure in result.failed:
        raise failure.error
    # Read from the database that was written to: a replica may lag.
    accounts = Account._default_manager.using(router.db_for_write(Account))
    return accounts.select_related("user").filter(pk=identity.sub).first()
