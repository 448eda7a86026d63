"""Makes two local users of one person one: what points to the first is moved to the second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, models, router, transaction
from django.db.models.deletion import Collector, ProtectedError, RestrictedError

from sso_common import conf
from sso_common.models import Account, FeedCursor
from sso_common.snapshot import UserSnapshot

from .mapper import synced_fields
from .saving import update_users
from .upsert import upsert_users


@dataclass(slots=True)
class Merge:
    """What a merge does. With conflicts, it does nothing."""

    #: {"app.Model.field": number of rows that point to the remaining user now}
    moved: dict[str, int] = field(default_factory=dict)
    #: {"app.Model.field": number of memberships that both had}
    shared: dict[str, int] = field(default_factory=dict)
    #: Fields of the user whose value was copied, because the remaining user had none.
    copied: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merge_users(
    source: Any, target: Any, snapshot: UserSnapshot | None, *, apply: bool, keep_password: bool = False
) -> Merge:
    """Move what belongs to ``source`` to ``target`` and delete ``source``, in one transaction.

    ``target`` takes over the link of ``source``. ``snapshot``: of the subject that one of them is linked
    to, or to which ``target`` is to be linked; None to link nothing. Without ``apply``, the transaction is
    rolled back. Rows are moved by UPDATE, without signals. Raises ``ValidationError`` if the two cannot
    be merged at all.
    """
    using = router.db_for_write(type(target))
    with transaction.atomic(using=using):
        FeedCursor.lock()
        accounts = Account._default_manager.using(using).filter(user__in=[source.pk, target.pk])
        Account.lock(accounts.values_list("sub", flat=True))
        # Whoever inserts a row that points to one of the two waits, and fails: no row is deleted unseen.
        users = type(target)._base_manager.using(using).filter(pk__in=[source.pk, target.pk])
        list(users.order_by("pk").select_for_update().values_list("pk"))
        check_links(source, target, snapshot, using)
        merge = Merger(source, target, using).run()
        if not merge.conflicts:
            finish(source, target, snapshot, merge, using, keep_password)
        if merge.conflicts or not apply:
            transaction.set_rollback(True, using=using)
    return merge


def check_links(source: Any, target: Any, snapshot: UserSnapshot | None, using: str) -> None:
    if source.pk == target.pk:
        raise ValidationError("This is one user, not two.")
    accounts = Account._default_manager.using(using).filter(user__in=[source.pk, target.pk])
    subs = set(accounts.values_list("sub", flat=True))
    if len(subs) > 1:
        raise ValidationError(
            "Both users are linked, to different subjects: they are two people at the portal. Unlink one of "
            "them first."
        )
    if snapshot is not None and not subs <= {snapshot.sub}:
        raise ValidationError("One of the users is linked to another subject. Unlink it first.")


def finish(
    source: Any,
    target: Any,
    snapshot: UserSnapshot | None,
    merge: Merge,
    using: str,
    keep_password: bool,
) -> None:
    """Move the link, delete the source, copy its values, and write the snapshot."""
    accounts = Account._default_manager.using(using)
    accounts.filter(user=source.pk).update(user=target.pk)
    merge.conflicts = left_behind(source, using)
    if merge.conflicts:
        return
    values = {name: getattr(source, name) for name in merge.copied}
    source.delete(using=using)
    for name, value in values.items():
        setattr(target, name, value)
    changed = list(values)
    if snapshot is not None and not accounts.filter(pk=snapshot.sub).exists():
        accounts.create(sub=snapshot.sub, user_id=target.pk, version=-1)
    if snapshot is not None and not keep_password:
        target.set_unusable_password()
        changed.append("password")
    if changed:
        update_users([(target, changed)], using)
    for failure in upsert_users([snapshot], source="link", mode="repair").failed if snapshot else ():
        raise failure.error
    try:
        connections[using].check_constraints()
    except IntegrityError as error:
        merge.conflicts.append(f"The database refuses the result: {error}")


def left_behind(source: Any, using: str) -> list[str]:
    """Return what else would be deleted or changed together with the source. Nothing may be."""
    collector = Collector(using=using, origin=source)
    try:
        collector.collect([source])
    except (ProtectedError, RestrictedError) as error:
        return [str(error.args[0])]
    own = {type(source)._meta.concrete_model, *source._meta.all_parents}
    found = [model._meta.label for model in collector.data if model not in own]
    found += [rows.model._meta.label for rows in collector.fast_deletes if rows.exists()]
    found += [
        f"{key.model._meta.label}.{key.name}"
        for (key, _), groups in collector.field_updates.items()
        if any(list(rows) for rows in groups)  # type: ignore[call-overload]  # of rows, not one row
    ]
    return [f"{label}: rows that could not be moved" for label in found]


class Merger:
    """Moves rows from one user to another."""

    def __init__(self, source: Any, target: Any, using: str) -> None:
        self.source = source
        self.target = target
        self.using = using
        self.merge = Merge()

    def run(self) -> Merge:
        for key in foreign_keys(type(self.source)):
            self.move(key)
        for model, conditions, column in generic_keys(self.source):
            rows = model._base_manager.using(self.using).filter(**conditions)
            self.update(rows, column, self.target.pk)
        self.source.refresh_from_db(using=self.using)
        self.target.refresh_from_db(using=self.using)
        self.compare_fields()
        return self.merge

    def move(self, key: Any) -> None:
        """Move the rows of a foreign key, a one-to-one field or one side of a many-to-many field."""
        rows = key.model._base_manager.using(self.using).filter(**{key.name: self.source})
        if key.remote_field.parent_link:
            if rows.exists():
                self.merge.conflicts.append(f"{key.model._meta.label}: the first user is one of these")
            return
        if issubclass(type(self.target), key.model):  # such as a manager: no user becomes their own
            own = rows.filter(pk=self.target.pk)
            if key.null:
                own.update(**{key.name: None})
            rows = rows.exclude(pk=self.target.pk)
        self.update(rows, key.name, self.target)

    def update(self, rows: Any, name: str, value: Any) -> None:
        """Write a value to rows, all at once or, if the database refuses that, one by one."""
        label, is_membership = f"{rows.model._meta.label}.{name}", bool(rows.model._meta.auto_created)
        try:
            with transaction.atomic(using=self.using):
                moved = rows.update(**{name: value})
        except IntegrityError:
            moved = 0
            for pk in list(rows.values_list("pk", flat=True)):
                moved += self.update_one(rows.filter(pk=pk), name, value, label, is_membership)
        if moved:
            self.merge.moved[label] = moved

    def update_one(self, row: Any, name: str, value: Any, label: str, is_membership: bool) -> int:
        try:
            with transaction.atomic(using=self.using):
                return int(row.update(**{name: value}))
        except IntegrityError:
            if is_membership:  # the other user has the same one, and such a row has no data of its own
                row.delete()
                self.merge.shared[label] = self.merge.shared.get(label, 0) + 1
            else:
                pk = row.values_list("pk", flat=True).first()
                self.merge.conflicts.append(f"{label}: row {pk} excludes a row of the other user")
            return 0

    def compare_fields(self) -> None:
        """Find values of the source that the target lacks, and those that contradict each other."""
        for each in own_fields(type(self.source)):
            mine, other = getattr(self.source, each.attname), getattr(self.target, each.attname)
            is_self_key = each.is_relation and isinstance(self.target, each.related_model)
            is_target = is_self_key and mine == self.target.pk
            if mine == other or is_empty(each, mine) or is_target:
                continue
            if is_empty(each, other):
                self.merge.copied.append(each.attname)
            else:
                label = f"{type(self.source)._meta.label}.{each.name}"
                self.merge.conflicts.append(f"{label}: {mine!r} and {other!r}")


def own_fields(model: Any) -> Iterator[Any]:
    """Yield the fields of the user model that neither the portal nor Django fills in."""
    others = synced_fields(conf.user_mapper()()) | {"password", "last_login", "is_superuser", "is_staff"}
    for each in model._meta.concrete_fields:
        is_time = isinstance(each, models.DateField | models.TimeField) and (
            getattr(each, "auto_now", False) or getattr(each, "auto_now_add", False) or each.has_default()
        )
        is_link = each.remote_field is not None and each.remote_field.parent_link
        is_key = each.primary_key or each.name == model.USERNAME_FIELD
        if not (is_time or is_link or is_key or each.name in others):
            yield each


def is_empty(each: Any, value: Any) -> bool:
    return value in each.empty_values or (each.has_default() and value == each.get_default())


def foreign_keys(model: Any) -> Iterator[Any]:
    """Yield every foreign key and one-to-one field to a user, also those of many-to-many tables."""
    for relation in model._meta.get_fields(include_hidden=True):
        is_reverse = relation.auto_created and not relation.concrete
        if (
            is_reverse
            and (relation.one_to_many or relation.one_to_one)
            and relation.field.model is not Account
        ):
            yield relation.field


def generic_keys(user: Any) -> Iterator[tuple[Any, dict[str, Any], str]]:
    """Yield model, conditions for the rows of a user, and column with the key, of each generic relation."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    from django.contrib.contenttypes.fields import GenericForeignKey
    from django.contrib.contenttypes.models import ContentType

    for model in apps.get_models(include_auto_created=True):
        for each in model._meta.private_fields:
            if isinstance(each, GenericForeignKey):
                kind = ContentType.objects.get_for_model(user, for_concrete_model=each.for_concrete_model)
                column: Any = model._meta.get_field(each.fk_field)
                try:
                    key = column.to_python(user.pk)
                except ValidationError:
                    continue  # such a column cannot hold the key of a user
                yield model, {each.ct_field: kind, each.fk_field: key}, each.fk_field
