"""Writes synced users; nothing else at a site does.

In: snapshots, from the feed or from an identity record. Out: local users, of whatever model this
site has, each tied to its subject by an ``Account``. Called by ``sso_sync`` and, through the
backend, by requests.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db import DataError, IntegrityError, connections, models, router, transaction
from django.db.models import F, Q
from django.db.models.deletion import ProtectedError, RestrictedError
from django.db.models.functions import Lower
from django.db.models.signals import post_save, pre_save

from . import conf
from .admission import require_admission, require_current
from .exceptions import UserInactive
from .identity import Identity
from .models import Account, FeedCursor
from .snapshot import UserSnapshot

logger = logging.getLogger("sso_common.users")

#: What a mapper may not set: privileges come from ``SSO_STAFF_ROLES`` and ``SSO_ROLE_GROUPS``
#: alone, and passwords stay at the portal.
FORBIDDEN: Final = frozenset({"is_superuser", "is_staff", "password", "groups", "user_permissions"})

#: ``newer`` applies what is newer than the account; ``repair`` also what is as old, to undo local
#: changes; ``force`` anything, after the portal was restored from a backup.
Mode = Literal["newer", "repair", "force"]

#: One row that cannot be stored must not keep later ones (a deactivation, say) from this site.
_ROW_ERRORS: Final = (IntegrityError, DataError, ValidationError, ValueError, TypeError)


class UserMapper:
    """Maps a snapshot to the fields of this site's user model; ``SSO_USER_MAPPER`` names it.

    Override ``fields`` for a model with others, and ``alternatives`` to choose what happens where
    a value that has to be unique is taken.
    """

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        """{field: value}. Only fields that the model has; a tombstone gets blank values.

        Values that are too long are cut (a too long e-mail address is left out).
        """
        username = f"deleted-{snapshot.sub.hex[:8]}" if snapshot.deleted else snapshot.username
        values = {
            "username": username,
            "email": snapshot.email,
            "first_name": snapshot.first_name,
            "last_name": snapshot.last_name,
            "is_active": snapshot.is_active and not snapshot.deleted,
        }
        return {name: value for name, value in values.items() if _has_field(get_user_model(), name)}

    def alternatives(self, field: models.Field[Any, Any], value: str, sub: uuid.UUID) -> list[Any]:
        """What to try, in order, where another user of this site has ``value``. The last one must
        be free for certain.

        Names get a suffix made from the subject: the same one every time. An e-mail address is
        left out, or where the model insists on one, replaced by one that can never receive mail.
        """
        if field.null:
            return [None]
        if isinstance(field, models.EmailField):
            return [f"{sub.hex}@sso.invalid"]
        limit = field.max_length or 150
        suffixes = (sub.hex[:4], sub.hex[:12], sub.hex)
        return [f"{value[: limit - len(suffix) - 1]}-{suffix}" for suffix in suffixes]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value that another user of this site had already; the synced user was given another."""

    sub: uuid.UUID
    field: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A snapshot that this site's database or mapper refused."""

    sub: uuid.UUID
    error: Exception


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """What came of a page of snapshots; each counts once among the first four and the failed."""

    created: int = 0
    updated: int = 0
    #: At this version already, at a newer one, or the tombstone of somebody unknown here.
    unchanged: int = 0
    #: Tombstones applied.
    deleted: int = 0
    #: How many of the updated were active before and are not any more.
    deactivated: int = 0
    conflicts: tuple[Conflict, ...] = ()
    failed: tuple[Failure, ...] = ()

    def __add__(self, other: UpsertResult) -> UpsertResult:
        return UpsertResult(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.deleted + other.deleted,
            self.deactivated + other.deactivated,
            self.conflicts + other.conflicts,
            self.failed + other.failed,
        )


# --- a request -------------------------------------------------------------------------------


def resolve_user(identity: Identity) -> Any:
    """The local user of a verified identity: one query.

    Where this site does not know the subject, or only an older version, the user is first written
    from the record's claims; the portal is not asked. Raises ``NotAdmitted``, ``UserInactive`` or
    ``SessionRevoked``.
    """
    require_admission(identity, conf.site())
    account = _find_account(identity.sub)
    if account is None or account.version < identity.user.version:
        account = _provision(identity)
    return _admit(account, identity)


async def aresolve_user(identity: Identity) -> Any:
    """``resolve_user`` for async code."""
    require_admission(identity, conf.site())
    account = await sync_to_async(_find_account)(identity.sub)
    if account is None or account.version < identity.user.version:
        account = await sync_to_async(_provision)(identity)
    return _admit(account, identity)


def _find_account(sub: uuid.UUID) -> Account | None:
    """The account that has a user, with that user: one query, as it is in every request.

    Its SQL never changes, and compiling it takes the ORM several times as long as it takes a database
    to answer it: so the ORM compiles it once (benchmarks/README.md).
    """
    alias = router.db_for_read(Account)
    model = get_user_model()
    key = Account._meta.pk.get_db_prep_value(sub, connections[alias])
    sql, parameters = _account_query(model, alias)
    present = [key if each is _SUBJECT else each for each in parameters]
    for user in model._base_manager.using(alias).raw(sql, present):
        values = [user.__dict__.pop(_PREFIX + name) for name in _ACCOUNT_FIELDS]
        account = Account.from_db(alias, ("sub", "user_id", *_ACCOUNT_FIELDS), (sub, user.pk, *values))
        account.user = user
        return account
    return None


#: Read beside the user's own columns, under names that no user model has.
_ACCOUNT_FIELDS: Final = ("version", "not_before", "is_active", "is_deleted")
_PREFIX: Final = "_sso_account_"


#: Where the subject's key stands among the parameters; a base manager may have some of its own.
_SUBJECT: Final = object()


@functools.lru_cache(maxsize=8)
def _account_query(model: type[models.Model], alias: str) -> tuple[str, list[Any]]:
    columns = {_PREFIX + name: F(f"sso_account__{name}") for name in _ACCOUNT_FIELDS}
    nobody = uuid.UUID(int=0)
    rows = model._base_manager.using(alias).filter(sso_account__pk=nobody).annotate(**columns)
    sql, parameters = rows.query.get_compiler(alias).as_sql()
    stand_in = Account._meta.pk.get_db_prep_value(nobody, connections[alias])
    return str(sql), [_SUBJECT if each == stand_in else each for each in parameters]


def _provision(identity: Identity) -> Account | None:
    result = upsert_users([identity.snapshot_for(conf.site())], source="identity")
    for failure in result.failed:
        raise failure.error
    # From the database that was written: a replica may be behind.
    accounts = Account._default_manager.using(router.db_for_write(Account))
    return accounts.select_related("user").filter(pk=identity.sub).first()


def _admit(account: Account | None, identity: Identity) -> Any:
    if account is None or account.user is None:
        raise UserInactive(str(identity.sub))
    is_active = account.is_active and not account.is_deleted and account.user.is_active
    require_current(identity, is_active=is_active, not_before=account.not_before)
    return account.user


# --- a page of the feed ----------------------------------------------------------------------


def upsert_users(
    snapshots: Iterable[UserSnapshot], *, source: str = "feed", mode: Mode = "newer"
) -> UpsertResult:
    """Write snapshots to this site's users, atomically, in a number of queries that does not grow
    with their number.

    Idempotent, and older versions never overwrite newer ones. Safe beside another one at the same
    time. A row that the database refuses is reported in ``failed`` and holds up no other. Sends
    ``pre_save`` and ``post_save``, so that a site's own receivers (profiles, say) keep working.
    """
    latest: dict[uuid.UUID, UserSnapshot] = {}
    for snapshot in snapshots:
        known = latest.get(snapshot.sub)
        if known is None or known.version <= snapshot.version:
            latest[snapshot.sub] = snapshot
    result = _upsert_page(list(latest.values()), mode)
    for conflict in result.conflicts:
        logger.warning(
            "The %s of subject %s belongs to another user of this site already; a different one was given.",
            conflict.field,
            conflict.sub,
        )
    for failure in result.failed:
        logger.error(
            "Subject %s was not written (%s, from the %s): this site's user model or mapper refuses it.",
            failure.sub,
            type(failure.error).__name__,
            source,
        )
    return result


def _upsert_page(page: list[UserSnapshot], mode: Mode) -> UpsertResult:
    using = router.db_for_write(Account)
    refusal: Exception | None = None
    # Again, because this site's own sign-up form may have taken a name at this very moment.
    for _attempt in range(3 if len(page) == 1 else 1):
        try:
            with transaction.atomic(using=using):
                return _Upsert(using, mode).run(page)
        except _ROW_ERRORS as error:
            refusal = error
    if len(page) == 1 and refusal is not None:
        return UpsertResult(failed=(Failure(page[0].sub, refusal),))
    # One row is unacceptable, or somebody else was quicker: each for itself.
    return sum((_upsert_page([snapshot], mode) for snapshot in page), UpsertResult())


@dataclass(slots=True, eq=False)
class _Row:
    """One snapshot on its way into the database."""

    snapshot: UserSnapshot
    account: Account
    user: Any
    is_new: bool
    values: dict[str, Any]
    was_active: bool
    changed: set[str] = field(default_factory=set)


class _Upsert:
    """One page of snapshots, under the lock and in one transaction."""

    def __init__(self, using: str, mode: Mode) -> None:
        self.using = using
        self.mode = mode
        self.model: Any = get_user_model()
        self.mapper = conf.user_mapper()()
        self.conflicts: list[Conflict] = []

    def run(self, page: list[UserSnapshot]) -> UpsertResult:
        FeedCursor.lock()
        accounts = self._load_accounts(page)
        wanted = [each for each in page if self._is_wanted(each, accounts.get(each.sub))]
        planned = [self._plan(each, accounts.get(each.sub)) for each in wanted]
        removed = self._hard_delete([row for row in planned if row.snapshot.deleted])
        rows = [row for row in planned if row not in removed]
        for name in self._unique_names(rows):
            self._settle(name, rows)
        self._write_users(rows)
        self._write_groups(rows)
        self._write_accounts(planned)
        deleted = sum(each.deleted for each in wanted)
        created = sum(row.is_new for row in rows)
        return UpsertResult(
            created=created,
            updated=len(wanted) - created - deleted,
            unchanged=len(page) - len(wanted),
            deleted=deleted,
            deactivated=sum(
                row.was_active and not row.snapshot.is_active and not row.snapshot.deleted for row in rows
            ),
            conflicts=tuple(self.conflicts),
        )

    def _load_accounts(self, page: list[UserSnapshot]) -> dict[uuid.UUID, Account]:
        rows = Account._default_manager.using(self.using).select_related("user")
        return {row.sub: row for row in rows.filter(pk__in=[each.sub for each in page])}

    def _is_wanted(self, snapshot: UserSnapshot, account: Account | None) -> bool:
        if account is None:
            return not snapshot.deleted
        if self.mode == "newer":
            return snapshot.version > account.version
        return self.mode == "force" or snapshot.version >= account.version

    def _plan(self, snapshot: UserSnapshot, account: Account | None) -> _Row:
        was_active = account is not None and account.is_active
        account = account or Account(sub=snapshot.sub)
        user = account.user
        row = _Row(
            snapshot=snapshot,
            account=account,
            user=self.model() if user is None else user,
            is_new=user is None,
            values=local_values(self.model, self.mapper, snapshot),
            was_active=was_active,
        )
        account.version = snapshot.version
        account.not_before = snapshot.not_before
        account.is_active = snapshot.is_active and not snapshot.deleted
        account.is_deleted = snapshot.deleted
        return row

    # unique values

    def _unique_names(self, rows: list[_Row]) -> list[str]:
        mapped = {name for row in rows for name in row.values}
        return sorted(mapped & unique_text_fields(self.model))

    def _settle(self, name: str, rows: list[_Row]) -> None:
        """Give every row a value that nobody else at this site has, in any case of letters."""
        model_field = self.model._meta.get_field(name)
        choices = {
            row.snapshot.sub: _choices(self.mapper, model_field, row.values[name], row.snapshot.sub)
            for row in rows
        }
        holders = self._holders(name, rows, choices.values())
        taken: set[str] = set()
        moving: list[Any] = []
        # Who has a value keeps it; among the others, the older version goes first.
        for row in sorted(rows, key=lambda row: (not _keeps(row, name), row.snapshot.version)):
            value, holder = _pick(row, choices[row.snapshot.sub], taken, holders)
            if holder is not None:
                moving.append(self._step_aside(name, model_field, holder, value))
            if row.values[name] and value != row.values[name]:
                self.conflicts.append(Conflict(row.snapshot.sub, name))
            row.values[name] = value
            if (key := _key(value)) is not None:
                taken.add(key)
        moving += self._movers(name, model_field, rows, taken)
        if moving:
            self.model._base_manager.using(self.using).bulk_update(moving, [name])

    def _holders(self, name: str, rows: list[_Row], choices: Iterable[Sequence[Any]]) -> dict[str, _Holder]:
        values = {value for each in choices for value in each if value}
        # SQLite's LOWER knows ASCII alone.
        unfolded = {value for value in values if not value.isascii()}
        found = (
            self.model._base_manager.using(self.using)
            .alias(_key=Lower(name))
            .filter(Q(_key__in={_key(value) for value in values}) | Q(**{f"{name}__in": unfolded}))
            .exclude(pk__in=[row.user.pk for row in rows if not row.is_new])
            .values_list("pk", name, "sso_account__sub", "sso_account__version")
        )
        return {_key(value) or "": _Holder(pk, sub, version) for pk, value, sub, version in found}

    def _step_aside(self, name: str, model_field: models.Field[Any, Any], holder: _Holder, value: str) -> Any:
        other = self.model(pk=holder.pk)
        setattr(other, name, self.mapper.alternatives(model_field, value, holder.sub)[-1])
        return other

    def _movers(
        self, name: str, model_field: models.Field[Any, Any], rows: list[_Row], taken: set[str]
    ) -> list[Any]:
        """Users of this page whose present value another one gets: two people who swap names."""
        moving = []
        for row in rows:
            present = None if row.is_new else getattr(row.user, name)
            if _key(present) in taken and _key(present) != _key(row.values[name]):
                setattr(row.user, name, self.mapper.alternatives(model_field, present, row.snapshot.sub)[-1])
                moving.append(row.user)
        return moving

    # rows

    def _write_users(self, rows: list[_Row]) -> None:
        staff_roles = conf.staff_roles()
        for row in rows:
            if _has_field(self.model, "is_staff"):
                row.values["is_staff"] = not row.snapshot.deleted and bool(row.snapshot.roles & staff_roles)
            row.changed = {
                name for name, value in row.values.items() if row.is_new or getattr(row.user, name) != value
            }
            for name, value in row.values.items():
                setattr(row.user, name, value)
        self._create([row for row in rows if row.is_new])
        self._update([row for row in rows if row.changed and not row.is_new])

    def _create(self, rows: list[_Row]) -> None:
        for row in rows:
            row.user.set_unusable_password()
        if _is_bulk_insert_possible(self.model, self.using):
            for row in rows:
                self._send(pre_save, row)
            self.model._base_manager.using(self.using).bulk_create([row.user for row in rows])
            for row in rows:
                self._send(post_save, row, created=True)
        else:
            for row in rows:
                row.user.save(force_insert=True, using=self.using)
        for row in rows:
            row.account.user = row.user

    def _update(self, rows: list[_Row]) -> None:
        if not rows:
            return
        for row in rows:
            self._send(pre_save, row)
        changed = sorted(set().union(*(row.changed for row in rows)))
        self.model._base_manager.using(self.using).bulk_update([row.user for row in rows], changed)
        for row in rows:
            self._send(post_save, row, created=False)

    def _send(self, signal: Any, row: _Row, **extra: Any) -> None:
        signal.send(
            sender=self.model,
            instance=row.user,
            raw=False,
            using=self.using,
            update_fields=None if row.is_new else frozenset(row.changed),
            **extra,
        )

    def _write_accounts(self, rows: list[_Row]) -> None:
        """One statement for new and old; Django's ``bulk_update`` takes ten times as long."""
        Account._default_manager.using(self.using).bulk_create(
            [row.account for row in rows],
            update_conflicts=True,
            unique_fields=["sub"],
            update_fields=["user", "version", "not_before", "is_active", "is_deleted"],
        )

    def _write_groups(self, rows: list[_Row]) -> None:
        """Groups that ``SSO_ROLE_GROUPS`` names follow the roles; all others are this site's own."""
        names = conf.role_groups()
        if not names or not rows or not _has_groups(self.model):
            return
        groups = self._groups(set(names.values()))
        through: Any = self.model.groups.through
        relation: Any = self.model._meta.get_field("groups")
        user_id, group_id = f"{relation.m2m_field_name()}_id", f"{relation.m2m_reverse_field_name()}_id"
        memberships = through._base_manager.using(self.using)
        present = {
            (user, group): pk
            for pk, user, group in memberships.filter(
                **{
                    f"{user_id}__in": [row.user.pk for row in rows],
                    f"{group_id}__in": list(groups.values()),
                }
            ).values_list("pk", user_id, group_id)
        }
        due = {
            (row.user.pk, groups[names[role]]) for row in rows for role in row.snapshot.roles if role in names
        }
        if gone := [pk for pair, pk in present.items() if pair not in due]:
            memberships.filter(pk__in=gone).delete()
        if missing := [through(**{user_id: user, group_id: group}) for user, group in due - present.keys()]:
            memberships.bulk_create(missing, ignore_conflicts=True)

    def _groups(self, names: set[str]) -> dict[str, Any]:
        rows = Group._default_manager.using(self.using)
        found = dict(rows.filter(name__in=names).values_list("name", "pk"))
        if missing := names - found.keys():
            rows.bulk_create([Group(name=name) for name in sorted(missing)], ignore_conflicts=True)
            found = dict(rows.filter(name__in=names).values_list("name", "pk"))
        return found

    def _hard_delete(self, rows: list[_Row]) -> list[_Row]:
        """Delete local users where that is the setting; returns the rows that have no user (more).

        Users whom other rows of this site protect are left, to be blanked.
        """
        removed = [row for row in rows if row.is_new]
        for row in rows:
            if row.is_new or not conf.hard_delete():
                continue
            account = row.account
            try:
                with transaction.atomic(using=self.using):
                    # First the tie: the account has to outlive the user.
                    Account._default_manager.using(self.using).filter(pk=account.pk).update(user=None)
                    row.user.delete(using=self.using)
            except (ProtectedError, RestrictedError):
                logger.warning(
                    "Subject %s is deleted at the portal, but rows of this site protect the local user: "
                    "blanked and deactivated instead.",
                    account.sub,
                )
                continue
            account.user = None
            removed.append(row)
        return removed


@dataclass(frozen=True, slots=True)
class _Holder:
    """A user outside the page who has a value that a row of the page would like."""

    pk: Any
    sub: uuid.UUID | None
    version: int | None

    def is_outdated_by(self, row: _Row, value: Any) -> bool:
        """Whether the holder is a synced user who has lost the value at the portal since.

        Names and addresses are unique there, so of two who claim one, the older snapshot is out
        of date, and the snapshot that says so is on its way. A user of this site alone has no
        version, and keeps what they have.
        """
        snapshot = row.snapshot
        return (
            self.version is not None
            and self.version < snapshot.version
            and _key(value) in {_key(snapshot.username), _key(snapshot.email)}
        )


def _pick(
    row: _Row, choices: Sequence[Any], taken: set[str], holders: Mapping[str, _Holder]
) -> tuple[Any, _Holder | None]:
    """The first choice that is free, and who has to step aside for it; the last is always free."""
    for value in choices[:-1]:
        key = _key(value)
        if key is None:
            return value, None
        if key in taken:
            continue
        holder = holders.get(key)
        if holder is None:
            return value, None
        if value is choices[0] and holder.is_outdated_by(row, value):
            return value, holder
    return choices[-1], None


# --- agreement -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drift:
    """One subject about whom this site and the portal do not agree."""

    sub: uuid.UUID
    kind: Literal["missing", "behind", "ahead", "differs", "extra"]
    fields: tuple[str, ...] = ()


def find_drift(snapshots: Iterable[UserSnapshot]) -> list[Drift]:
    """Compare snapshots with this site's users, field by field; writes nothing."""
    page = {snapshot.sub: snapshot for snapshot in snapshots}
    accounts = {
        account.sub: account
        for account in Account._default_manager.select_related("user").filter(pk__in=list(page))
    }
    groups = _mapped_groups([account.user_id for account in accounts.values()])
    found = []
    for sub, snapshot in page.items():
        account = accounts.get(sub)
        if account is None:
            if not snapshot.deleted:
                found.append(Drift(sub, "missing"))
        elif account.version != snapshot.version:
            found.append(Drift(sub, "behind" if account.version < snapshot.version else "ahead"))
        elif names := _differences(snapshot, account, groups.get(account.user_id, set())):
            found.append(Drift(sub, "differs", tuple(names)))
    return found


def _differences(snapshot: UserSnapshot, account: Account, groups: set[str]) -> list[str]:
    is_active = snapshot.is_active and not snapshot.deleted
    state = (account.is_active, account.is_deleted, account.not_before)
    names = [] if state == (is_active, snapshot.deleted, snapshot.not_before) else ["account"]
    user = account.user
    if user is None:
        return names if snapshot.deleted else [*names, "user"]
    model, mapper = get_user_model(), conf.user_mapper()()
    unique = unique_text_fields(model)
    for name, value in local_values(model, mapper, snapshot).items():
        model_field: Any = model._meta.get_field(name)
        allowed = _choices(mapper, model_field, value, snapshot.sub) if name in unique else [value]
        if getattr(user, name) not in allowed:
            names.append(name)
    if _has_field(model, "is_staff"):
        is_staff = not snapshot.deleted and bool(snapshot.roles & conf.staff_roles())
        names += [] if getattr(user, "is_staff", None) == is_staff else ["is_staff"]
    mapping = conf.role_groups()
    if _has_groups(model) and groups != {mapping[role] for role in snapshot.roles if role in mapping}:
        names.append("groups")
    return names


def _mapped_groups(user_ids: list[Any]) -> dict[Any, set[str]]:
    names, model = set(conf.role_groups().values()), get_user_model()
    found: dict[Any, set[str]] = {}
    if names and _has_groups(model):
        pairs = model._base_manager.filter(pk__in=user_ids, groups__name__in=names)
        for user_id, name in pairs.values_list("pk", "groups__name"):
            found.setdefault(user_id, set()).add(name)
    return found


def deactivate_accounts(subs: Iterable[uuid.UUID]) -> int:
    """Deactivate the local users of subjects that the feed has no more; nothing is blanked, so a
    mistake is undone by the next ``sso_sync --full``. Returns how many were active."""
    using = router.db_for_write(Account)
    with transaction.atomic(using=using):
        FeedCursor.lock()
        rows = Account._default_manager.using(using).filter(pk__in=list(subs), is_active=True)
        user_ids = list(rows.values_list("user_id", flat=True))
        model: Any = get_user_model()
        values = {name: False for name in ("is_active", "is_staff") if _has_field(model, name)}
        if values:
            model._base_manager.using(using).filter(pk__in=user_ids).update(**values)
        return rows.update(is_active=False)


def link_user(user: Any, snapshot: UserSnapshot, *, keep_password: bool = False) -> None:
    """Tie an existing local user to a subject, and write the snapshot to it.

    From then on the user signs in at the portal: the local password is made unusable, unless it
    is to be kept. Raises ``ValidationError`` where either of the two is tied already.
    """
    using = router.db_for_write(Account)
    accounts = Account._default_manager.using(using)
    with transaction.atomic(using=using):
        FeedCursor.lock()
        if accounts.filter(Q(pk=snapshot.sub) | Q(user=user)).exists():
            raise ValidationError("The subject or the user is linked already.")
        # Version -1: older than any snapshot, so that the next line writes.
        accounts.create(sub=snapshot.sub, user=user, version=-1)
        if not keep_password:
            user.set_unusable_password()
            user.save(using=using, update_fields=["password"])
        for failure in upsert_users([snapshot], source="link").failed:
            raise failure.error


# --- models ----------------------------------------------------------------------------------


def local_values(model: Any, mapper: UserMapper, snapshot: UserSnapshot) -> dict[str, Any]:
    """What the mapper makes of a snapshot, checked and cut to what the columns hold."""
    values = mapper.fields(snapshot)
    if refused := FORBIDDEN & values.keys():
        raise ImproperlyConfigured(
            f"SSO_USER_MAPPER sets {min(refused)!r}: passwords are never synced, and privileges come from "
            "SSO_STAFF_ROLES and SSO_ROLE_GROUPS alone."
        )
    return {name: _fit(_field(model, name), value) for name, value in values.items()}


def _field(model: Any, name: str) -> models.Field[Any, Any]:
    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist as error:
        raise ImproperlyConfigured(
            f"SSO_USER_MAPPER sets {name!r}, which {model._meta.label} does not have."
        ) from error
    result: models.Field[Any, Any] = found
    return result


def _fit(model_field: models.Field[Any, Any], value: Any) -> Any:
    limit = model_field.max_length
    if not isinstance(value, str) or limit is None or len(value) <= limit:
        return value
    # The first half of an e-mail address may be somebody else's address.
    return "" if isinstance(model_field, models.EmailField) else value[:limit]


def unique_text_fields(model: Any) -> frozenset[str]:
    """The text fields of which no two users may have the same value, by column or constraint."""
    names = {model.USERNAME_FIELD}
    names |= {each.name for each in model._meta.concrete_fields if each.unique and not each.primary_key}
    for constraint in model._meta.total_unique_constraints:
        names |= set(constraint.fields) if len(constraint.fields) == 1 else set()
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and len(constraint.expressions) == 1:
            # UniqueConstraint(Lower("email"), …)
            expression: Any = constraint.expressions[0]
            names |= {each.name for each in expression.flatten() if hasattr(each, "name")}
    kinds = (models.CharField, models.TextField)
    return frozenset(
        each.name for each in model._meta.concrete_fields if each.name in names and isinstance(each, kinds)
    )


def unmapped_fields(model: Any, mapper: UserMapper) -> list[str]:
    """Fields of a user model that must have a value, and that neither the model nor the mapper gives."""
    mapped = set(mapper.fields(UserSnapshot(sub=uuid.UUID(int=0), version=0, username="anna")))
    given = mapped | FORBIDDEN | {model.USERNAME_FIELD}
    return [
        each.name
        for each in model._meta.concrete_fields
        if each.name not in given and not _fills_itself(each)
    ]


def _fills_itself(each: models.Field[Any, Any]) -> bool:
    has_default = (
        each.has_default() or getattr(each, "db_default", models.NOT_PROVIDED) is not models.NOT_PROVIDED
    )
    by_itself = ("auto_now", "auto_now_add", "auto_created", "generated")
    if each.null or has_default or any(getattr(each, name, False) for name in by_itself):
        return True
    # A text is empty where nothing is said, unless no two users may be empty.
    return isinstance(each, models.AutoField) or (each.empty_strings_allowed and not each.unique)


def _choices(
    mapper: UserMapper, model_field: models.Field[Any, Any], value: Any, sub: uuid.UUID
) -> list[Any]:
    alternatives = mapper.alternatives(model_field, value or "user", sub)
    # An empty text is no value of its own: two users could not both have it.
    return [value, *alternatives] if value else alternatives


def _keeps(row: _Row, name: str) -> bool:
    """Whether a row's user has the value already."""
    wanted = _key(row.values[name])
    return not row.is_new and wanted is not None and _key(getattr(row.user, name)) == wanted


def _key(value: Any) -> str | None:
    return str(value).lower() if value else None


def _has_field(model: Any, name: str) -> bool:
    return any(each.name == name for each in model._meta.concrete_fields)


def _has_groups(model: Any) -> bool:
    try:
        return bool(model._meta.get_field("groups").related_model is Group)
    except FieldDoesNotExist:
        return False


def _is_bulk_insert_possible(model: Any, using: str) -> bool:
    features: Any = connections[using].features
    return not model._meta.parents and features.can_return_rows_from_bulk_insert
