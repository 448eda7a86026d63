"""Sites, roles, and who holds them.

In: what an administrator decides. Out: rows that ``services.entry_map`` turns into the ``sites`` of an
identity record and the feed into snapshots. Every way of changing a grant draws new versions for the
users it concerns; see ``signals.py`` and ``GrantQuerySet``.
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

from .origins import check_origin, parse_origin

_NAME = RegexValidator(
    rf"\A{SITE_NAME.pattern}\Z",
    _("A name has small letters, digits, - and _, and starts with a letter (at most 32 characters)."),
)


class Access(models.TextChoices):
    """Who may enter a site."""

    EVERYONE = "everyone", _("Everyone with an account")
    MEMBERS = "members", _("Members: holders of a role there")


class AtomicModel(models.Model):
    """Saves in one transaction with what its signals do: the versions that a change draws must not be
    visible before it, nor the change without them."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            super().save(*args, **kwargs)


class SiteQuerySet(models.QuerySet["Site"]):
    """``update`` sends no signals; what a site means to people is announced here."""

    def update(self, **kwargs: Any) -> int:
        from .signals import access_changed, rules_changed

        with transaction.atomic(using=self.db, savepoint=False):
            ids = list(self.values_list("pk", flat=True)) if "access" in kwargs else []
            count = super().update(**kwargs)
            for site in Site.objects.filter(pk__in=ids):
                access_changed(site)
            if {"is_active", "access", "name"} & kwargs.keys():
                rules_changed()
        return count


class Site(AtomicModel):
    """A Django project that shares the portal's sign-in."""

    name = models.CharField(
        _("name"),
        max_length=32,
        unique=True,
        validators=[_NAME],
        help_text=_("Permanent: the site's keys and its data in Redis go by it."),
    )
    origin = models.CharField(
        _("address"), max_length=300, unique=True, help_text=_("For example https://a.example.com")
    )
    title = models.CharField(_("title"), max_length=80)
    description = models.CharField(_("description"), max_length=200, blank=True)
    access = models.CharField(_("access"), max_length=8, choices=Access.choices, default=Access.EVERYONE)
    #: Which generation of its secret the site uses; while it rotates, the previous one is good, too.
    generation = models.PositiveIntegerField(_("key generation"), default=1, editable=False)
    previous_generation = models.PositiveIntegerField(
        _("previous key generation"), null=True, blank=True, editable=False
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Nobody may enter a site that is not active.")
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
        """The generations of its secret that the site may use now, newest first."""
        if self.previous_generation is None:
            return (self.generation,)
        return (self.generation, self.previous_generation)

    def clean(self) -> None:
        from portal.keys import PORTAL

        if self.name == PORTAL:
            raise ValidationError({"name": _("“portal” is the portal's own name.")})
        try:
            self.origin = parse_origin(self.origin)
            check_origin(self.origin, conf.domain())
        except ValidationError as error:
            raise ValidationError({"origin": error}) from error
        if self.origin == parse_origin(conf.portal_url()):
            raise ValidationError({"origin": _("This is the portal's own address.")})


class FormerSite(models.Model):
    """A site that was removed. Should its name come back, then never with its old secrets."""

    name = models.CharField(max_length=32, unique=True)
    generation = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.name


class RoleQuerySet(models.QuerySet["Role"]):
    """``update`` sends no signals; a role's holders are announced here."""

    def update(self, **kwargs: Any) -> int:
        from .signals import grants_changed

        with transaction.atomic(using=self.db, savepoint=False):
            ids = list(self.values_list("pk", flat=True))
            count = super().update(**kwargs)
            if kwargs.keys() - {"label"}:
                grants_changed(Grant.objects.filter(role__in=ids).select_related("role"))
        return count


class Role(AtomicModel):
    """Something that a person may be at one site. Roles mean nothing until the site maps them."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="roles", verbose_name=_("site"))
    name = models.CharField(_("name"), max_length=32, validators=[_NAME])
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
    """Writes that Django sends no signals for draw versions here; the others do in ``signals.py``.

    ``bulk_update`` goes through ``update``.
    """

    def bulk_create(self, objs: Iterable[Grant], *args: Any, **kwargs: Any) -> list[Grant]:
        from .signals import grants_changed

        objs = list(objs)
        with transaction.atomic(using=self.db, savepoint=False):
            created = super().bulk_create(objs, *args, **kwargs)
            grants_changed(objs)
        return created

    def update(self, **kwargs: Any) -> int:
        from .signals import grants_changed

        with transaction.atomic(using=self.db, savepoint=False):
            ids = list(self.values_list("pk", flat=True))
            before = list(Grant.objects.filter(pk__in=ids).select_related("role"))
            count = super().update(**kwargs)
            grants_changed([*before, *Grant.objects.filter(pk__in=ids).select_related("role")])
        return count


class Grant(AtomicModel):
    """One person holds one role."""

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
    """A members' site has been told of a subject, so it must also be told when they leave.

    No foreign key to the user: a site must learn of a deletion, too.
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
