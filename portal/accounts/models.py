"""The user: the one row about a person that every site's view of them comes from.

In: writes of any kind, by allauth, the admin, commands. Out: a new ``version`` for each that changes
something a site can see, drawn in the same transaction; see ``versions.py``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable
from typing import Any, Final, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models, router, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Greatest, Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sso_common.snapshot import UserSnapshot

from . import versions
from .signals import announce, tell
from .versions import Tombstone, VersionCounter

__all__ = ["VISIBLE", "Tombstone", "User", "VersionCounter"]

#: What a site can see of a user. A write that changes none of it draws no version: sign-ins
#: (``last_login``) never queue behind the counter.
VISIBLE: Final = frozenset(
    {"username", "email", "email_verified", "first_name", "last_name", "is_active", "not_before"}
)

#: What a user may do at the portal itself. Like what sites see, it is written only where it was changed.
RIGHTS: Final = frozenset({"is_staff", "is_superuser"})
#: Of which every change is told (``account_changed``), so that it can be written down.
TOLD: Final = RIGHTS | {"is_active", "email"}

_COMPARED: Final = VISIBLE | RIGHTS


def later_than(not_before: Any, now: float) -> Any:
    """The next ``not_before``, after every ``auth_time`` that was issued up to now.

    Works on numbers and on expressions. An ``auth_time`` is a whole second and never earlier than
    the user's ``not_before``, so this leaves out neither a sign-in of the same second nor one that
    follows an earlier "sign out everywhere" of that second.
    """
    if isinstance(not_before, int):
        return max(not_before, int(now)) + 1
    return Greatest(not_before, models.Value(int(now))) + 1


class UserQuerySet(models.QuerySet["User"]):
    """Draws versions for the writes that never reach ``User.save``."""

    def update(self, **kwargs: Any) -> int:
        """As Django's; also ends sessions where it deactivates users or moves ``not_before``."""
        if "version" in kwargs:
            raise ValueError("Versions are drawn, never set; see portal.accounts.versions.bump.")
        told = TOLD & kwargs.keys()
        if not VISIBLE & kwargs.keys() and not told:
            return super().update(**kwargs)
        self._for_write = True
        using = self.db
        if "not_before" in kwargs:
            # It never moves back: sessions that have ended would come to life.
            kwargs["not_before"] = Greatest(F("not_before"), kwargs["not_before"])
        with transaction.atomic(using=using):
            versions.lock(using)
            rows = self.using(using)
            before = {row["pk"]: row for row in rows.order_by().values("pk", *told)}
            subs = list(before)
            if VISIBLE & kwargs.keys():
                count = 0
                for batch, version in versions.numbered(subs, using):
                    count += super(UserQuerySet, rows.filter(pk__in=batch)).update(**kwargs, version=version)
                    self._follow_up(using, batch, kwargs)
                announce(using, changed=subs, ended=subs if "not_before" in kwargs else ())
            else:
                count = super().update(**kwargs)
            if told:
                self._tell(using, before, told)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def _follow_up(self, using: str, subs: Collection[uuid.UUID], written: dict[str, Any]) -> None:
        """What follows from a write; nobody has seen these versions yet, so they stay as they are."""
        rows = models.QuerySet(self.model, using=using).filter(pk__in=subs)
        if "email" in written and "email_verified" not in written:
            rows.update(email_verified=_is_verified())
        if "is_active" in written and written["is_active"] is not True:
            ended = list(rows.filter(is_active=False).values_list("pk", flat=True))
            rows.filter(pk__in=ended).update(not_before=later_than(F("not_before"), time.time()))
            announce(using, ended=ended)

    def _tell(self, using: str, before: dict[uuid.UUID, dict[str, Any]], names: Collection[str]) -> None:
        subs = list(before)
        for start in range(0, len(subs), versions.BATCH):
            rows = models.QuerySet(self.model, using=using).filter(
                pk__in=subs[start : start + versions.BATCH]
            )
            for row in rows.order_by().values("pk", *names):
                tell(row["pk"], before[row["pk"]], row)

    def bulk_create(  # type: ignore[override]
        self,
        objs: Iterable[User],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[User]:
        """As Django's."""
        objs = list(objs)
        if not objs:
            return objs
        self._for_write = True
        using = self.db
        with transaction.atomic(using=using):
            first = versions.draw(len(objs), using=using) - len(objs) + 1
            for version, user in enumerate(objs, first):
                user.version = version
            if update_fields is not None:
                update_fields = [*update_fields, "version"]
            created = super().bulk_create(
                objs, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
            )
            # Where a row existed already, it kept its subject.
            rows = self.model._base_manager.using(using).filter(version__gte=first)
            announce(using, changed=rows.values_list("pk", flat=True))
            if update_conflicts and update_fields is not None and "is_active" in update_fields:
                self.model.objects.using(using).filter(version__gte=first, is_active=False).update(
                    is_active=False
                )
        return created

    def refresh_email_verified(self, sub: uuid.UUID) -> None:
        """Bring ``email_verified`` in step with allauth's addresses."""
        rows = self.filter(pk=sub)
        stale = rows.annotate(_verified=_is_verified()).exclude(email_verified=F("_verified"))
        for verified in stale.values_list("_verified", flat=True):
            rows.update(email_verified=verified)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Makes users together with their e-mail address, so that they can sign in at once."""

    def create_user(
        self,
        username: str,
        email: str,
        password: str | None = None,
        *,
        email_verified: bool = False,
        **fields: Any,
    ) -> User:
        """Make a user. Without a password, one has to be set by e-mail first."""
        from allauth.account.models import EmailAddress

        if not username or not email:
            raise ValueError("A user needs a username and an e-mail address.")
        user = self.model(
            username=self.model.normalize_username(username), email=self.normalize_email(email), **fields
        )
        user.set_password(password)
        with transaction.atomic(using=self.db):
            user.save(using=self.db)
            EmailAddress.objects.using(self.db).create(
                user=user, email=user.email.lower(), verified=email_verified, primary=True
            )
        user.refresh_from_db(fields=["email_verified", "version"])
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **fields: Any) -> User:
        """Make a user who may do everything at the portal; at the sites, roles decide."""
        return self.create_user(
            username,
            email,
            password,
            **{"email_verified": True} | fields | {"is_staff": True, "is_superuser": True},
        )

    def get_by_natural_key(self, username: str | None) -> User:
        """Usernames are unique regardless of case."""
        return self.get(username__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. ``sub`` is permanent and the same at every site."""

    sub = models.UUIDField(_("subject"), primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        _("username"),
        max_length=150,
        unique=True,
        validators=[UnicodeUsernameValidator()],
        error_messages={"unique": _("This username is taken.")},
    )
    email = models.EmailField(_("e-mail address"))
    #: Kept in step with allauth's ``EmailAddress`` by ``signals.py``.
    email_verified = models.BooleanField(_("e-mail address verified"), default=False, editable=False)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("Who is not active cannot sign in anywhere. Rather deactivate people than delete them."),
    )
    is_staff = models.BooleanField(
        _("portal staff"), default=False, help_text=_("May open the portal's administration.")
    )
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)
    not_before = models.BigIntegerField(
        _("sessions end before"),
        default=0,
        editable=False,
        help_text=_("Seconds since 1970: sessions that began earlier have ended."),
    )
    version = models.BigIntegerField(_("version"), unique=True, editable=False)

    objects = UserManager()

    #: The visible fields and the rights as they were loaded.
    _known: dict[str, Any] = {}

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        ordering = ["username"]
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="one_user_per_username",
                violation_error_message=_("This username is taken."),
            ),
            models.UniqueConstraint(
                Lower("email"),
                name="one_user_per_email",
                violation_error_message=_("Somebody uses this e-mail address already."),
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        user = super().from_db(db, field_names, values, **options)  # Django 6.1 adds fetch_mode
        user._remember()
        return user

    def refresh_from_db(self, using: str | None = None, fields: Any = None, **kwargs: Any) -> None:
        fields = None if fields is None else list(fields)
        super().refresh_from_db(using=using, fields=fields, **kwargs)
        self._remember(_COMPARED if fields is None else _COMPARED & set(fields))

    def _remember(self, names: Collection[str] = _COMPARED) -> None:
        known: dict[str, Any] = self.__dict__.setdefault("_known", {})
        known.update({name: self.__dict__[name] for name in names if name in self.__dict__})

    def save(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Save, with a new version where that changes something a site can see.

        Only fields that were changed since they were loaded are written among the visible ones and the
        rights: a stale copy can neither undo somebody else's change nor bring a deleted user back.
        """
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        kwargs["using"] = using
        with transaction.atomic(using=using):
            if self._state.adding:
                self.version = versions.draw(using=using)
                super().save(**kwargs)
                announce(using, changed=[self.pk], ended=[] if self.is_active else [self.pk])
                tell(self.pk, dict.fromkeys(RIGHTS, False), {name: getattr(self, name) for name in RIGHTS})
            else:
                self._save_changes(using, kwargs)
        self._remember()

    save.alters_data = True  # type: ignore[attr-defined]

    def _save_changes(self, using: str, kwargs: dict[str, Any]) -> None:
        update_fields = kwargs.get("update_fields")
        if update_fields is None:
            loaded = {each.name for each in self._meta.concrete_fields} - self.get_deferred_fields()
            dirty = {name for name in _COMPARED & loaded if getattr(self, name) != self._known.get(name, ...)}
            written = loaded - _COMPARED - {"version", "sub"} | dirty
        else:
            written = set(update_fields) - {"version"}
            dirty = written & _COMPARED
        before = self._lock_row(using) if dirty else None
        changed = self._prepare_changes(using, dirty, before) if before else set()
        visible = changed & VISIBLE
        kwargs["update_fields"] = written | changed | ({"version"} if visible else set())
        super().save(**kwargs)
        if visible:
            announce(using, changed=[self.pk], ended=[self.pk] if "not_before" in changed else ())
        if before and changed & TOLD:
            row = self._lock_row(using)  # what was set on the instance may be an expression
            tell(self.pk, before, {name: row[name] for name in TOLD} if row else {})

    def _lock_row(self, using: str) -> dict[str, Any] | None:
        """What the row holds, under the counter's lock; None for one that was deleted meanwhile."""
        versions.lock(using)
        return type(self)._base_manager.using(using).filter(pk=self.pk).values(*_COMPARED).first()

    def _prepare_changes(self, using: str, names: Collection[str], before: dict[str, Any]) -> set[str]:
        """Compare with the row; returns what changes, consequences included."""
        # Never back: sessions that have ended would come to life.
        self.not_before = max(self.not_before, before["not_before"])
        changed = {name for name in names if getattr(self, name) != before[name]}
        if "email" in changed and "email_verified" not in changed:
            self.email_verified = _has_verified(self, using)
            changed |= {"email_verified"}
        if "is_active" in changed and not self.is_active:
            self.not_before = later_than(self.not_before, time.time())
            changed |= {"not_before"}
        if changed & VISIBLE:
            self.version = versions.draw(using=using)
        return changed

    def get_full_name(self) -> str:
        """First and last name, with a space between."""
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        """The first name."""
        return self.first_name

    def to_snapshot(self, roles: frozenset[str] = frozenset()) -> UserSnapshot:
        """The user as a site sees them, with the roles at that site."""
        return UserSnapshot(
            sub=self.sub,
            version=self.version,
            username=_wire(self.username),
            email=_wire(self.email),
            email_verified=self.email_verified,
            first_name=_wire(self.first_name),
            last_name=_wire(self.last_name),
            is_active=self.is_active,
            not_before=self.not_before,
            roles=roles,
        )


def _wire(text: str) -> str:
    # SQLite stores NUL, and every site would refuse it, with all users behind it in the feed.
    return text.replace("\x00", "")


def _is_verified() -> Exists:
    from allauth.account.models import EmailAddress

    return Exists(
        EmailAddress.objects.filter(user_id=OuterRef("pk"), verified=True, email__iexact=OuterRef("email"))
    )


def _has_verified(user: User, using: str) -> bool:
    from allauth.account.models import EmailAddress

    rows = EmailAddress.objects.using(using)
    return rows.filter(user_id=user.pk, verified=True, email__iexact=user.email).exists()
