"""Sites, roles, and who holds them.

``access`` turns these rows into the ``sites`` of an identity record, and the feed turns them into
snapshots. Every way of changing a grant gives new versions to the users it concerns: querysets send
signals where Django does not, and ``receivers`` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from sso_common import conf
from sso_common.dsn import SITE_NAME
from sso_common.keys import PORTAL

from .announcements import access_changed, grants_changed, send_sites_changed
from .origins import check_origin, parse_origin

validate_name = RegexValidator(
    rf"\A{SITE_NAME.pattern}\Z",
    _("Use lower-case letters, digits, - and _, and start with a letter (at most 32 characters)."),
)


#: Fields of a site that decide what identity records say about it.
RULES = ("is_active", "access", "name")


class Access(models.TextChoices):
    """Who has access to a site."""

    EVERYONE = "everyone", _("Everyone with an account")
    MEMBERS = "members", _("Members: holders of a role there")


class AtomicModel(models.Model):
    """Saves in one transaction with what the receivers of its signals do: a change and the versions that
    it allocates must become visible together."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            super().save(*args, **kwargs)


class SiteQuerySet(models.QuerySet["Site"]):
    """Sends the signals that Django does not send for ``update``."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db, savepoint=False):
            ids = list(self.values_list("pk", flat=True)) if "access" in kwargs else []
            count = super().update(**kwargs)
            for site in Site.objects.filter(pk__in=ids):
                access_changed.send(sender=Site, site=site)
            if kwargs.keys() & RULES:
                send_sites_changed()
        return count


class Site(AtomicModel):
    """A Django project that shares the portal's sign-in."""

    name = models.CharField(
        _("name"),
        max_length=32,
        unique=True,
        validators=[validate_name],
        help_text=_("Permanent. The site's keys and its data in Redis depend on it."),
    )
    origin = models.CharField(
        _("address"), max_length=300, unique=True, help_text=_("For example https://a.example.com")
    )
    title = models.CharField(_("title"), max_length=80)
    description = models.CharField(_("description"), max_length=200, blank=True)
    access = models.CharField(_("access"), max_length=8, choices=Access.choices, default=Access.EVERYONE)
    #: Which generation of its secret the site uses. During a rotation, the previous one is valid too.
    generation = models.PositiveIntegerField(_("key generation"), default=1, editable=False)
    previous_generation = models.PositiveIntegerField(
        _("previous key generation"), null=True, blank=True, editable=False
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("No one has access to an inactive site.")
    )
    order = models.PositiveSmallIntegerField(_("order"), default=0)
    created_at = models.DateTimeField(_("registered"), auto_now_add=True)

    objects = SiteQuerySet.as_manager()

    class Meta:
        ordering = ["order", "title"]
        verbose_name = _("site")
        verbose_name_plural = _("sites")

    def __str__(self) -> str:
        return self.title or self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding:
            former = FormerSite.objects.filter(name=self.name).first()
            self.generation = former.generation + 1 if former else self.generation
        super().save(*args, **kwargs)

    @property
    def generations(self) -> tuple[int, ...]:
        """The generations of its secret that are valid now, newest first."""
        if self.previous_generation is None:
            return (self.generation,)
        return (self.generation, self.previous_generation)

    def clean(self) -> None:
        if self.name == PORTAL:
            raise ValidationError({"name": _("This name is reserved for the portal.")})
        try:
            self.origin = parse_origin(self.origin)
            check_origin(self.origin, conf.dsn().domain)
        except ValidationError as error:
            raise ValidationError({"origin": error}) from error
        if self.origin == parse_origin(conf.dsn().portal_url):
            raise ValidationError({"origin": _("This is the portal's own address.")})


class FormerSite(models.Model):
    """A site that was removed. If the name is used again, the new site gets other secrets."""

    name = models.CharField(max_length=32, unique=True)
    generation = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.name


class RoleQuerySet(models.QuerySet["Role"]):
    """Sends the signal that Django does not send for ``update``."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db, savepoint=False):
            ids = list(self.values_list("pk", flat=True))
            count = super().update(**kwargs)
            if kwargs.keys() - {"label"}:
                grants_changed.send(sender=Role, grants=Grant.objects.filter(role__in=ids))
        return count


class Role(AtomicModel):
    """A role at one site. It has no effect until the site maps it."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="roles", verbose_name=_("site"))
    name = models.CharField(_("name"), max_length=32, validators=[validate_name])
    label = models.CharField(_("label"), max_length=80, blank=True)

    objects = RoleQuerySet.as_manager()

    class Meta:
        ordering = ["site", "name"]
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="one_role_of_a_name_per_site")]

    def __str__(self) -> str:
        return f"{self.site.name}: {self.label or self.name}"


class GrantQuerySet(models.QuerySet["Grant"]):
    """Sends the signal that Django does not send for these writes. ``bulk_update`` calls ``update``."""

    def bulk_create(self, objs: Iterable[Grant], *args: Any, **kwargs: Any) -> list[Grant]:
        objs = list(objs)
        with transaction.atomic(using=self.db, savepoint=False):
            created = super().bulk_create(objs, *args, **kwargs)
            grants_changed.send(sender=Grant, grants=objs)
        return created

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db, savepoint=False):
            ids = list(self.values_list("pk", flat=True))
            before = list(Grant.objects.filter(pk__in=ids))
            count = super().update(**kwargs)
            grants_changed.send(sender=Grant, grants=[*before, *Grant.objects.filter(pk__in=ids)])
        return count


class Grant(AtomicModel):
    """A role that a person holds."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="grants", verbose_name=_("person")
    )
    role = models.ForeignKey(Role, models.CASCADE, related_name="grants", verbose_name=_("role"))
    created_at = models.DateTimeField(_("given"), auto_now_add=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        ordering = ["role", "user"]
        verbose_name = _("role of a person")
        verbose_name_plural = _("roles of people")
        constraints = [models.UniqueConstraint(fields=["user", "role"], name="one_grant_per_user_and_role")]

    def __str__(self) -> str:
        return f"{self.user} — {self.role}"


class SiteVisibility(models.Model):
    """A site for members has seen a subject, so it must also learn when the subject leaves.

    There is no foreign key to the user: the site must also learn of deletions.
    """

    site = models.ForeignKey(Site, models.CASCADE, related_name="visible", verbose_name=_("site"))
    sub = models.UUIDField(_("subject"))

    class Meta:
        verbose_name = _("subject known to a site")
        verbose_name_plural = _("subjects known to a site")
        constraints = [
            models.UniqueConstraint(fields=["site", "sub"], name="one_visibility_per_site_and_sub")
        ]

    def __str__(self) -> str:
        return f"{self.site}: {self.sub}"
