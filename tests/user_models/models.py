"""User models that differ from Django's. The tests choose one with ``AUTH_USER_MODEL``."""

import uuid

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser, PermissionsMixin, UserManager
from django.db import models
from django.db.models.functions import Lower


class Member(AbstractBaseUser):
    """Has a UUID as key and the email address as username, and nothing else."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Player(AbstractBaseUser, PermissionsMixin):
    """Has short names, addresses that are unique but optional, and the time of the last change."""

    username = models.CharField(max_length=12, unique=True)
    changed_at = models.DateTimeField(auto_now=True)
    email = models.EmailField(null=True)  # noqa: DJ001  the case to test
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "username"

    class Meta:
        swappable = "AUTH_USER_MODEL"
        constraints = [models.UniqueConstraint(Lower("email"), name="one_player_per_address")]


class Record(models.Model):
    """A parent model that has its own table."""

    note = models.CharField(max_length=20, default="made here")


class Employee(Record, AbstractUser):
    """Inherits from a model with a table (multi-table inheritance)."""

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Author(AbstractUser):
    """Has the portal's subject as primary key."""

    sub = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Pupil(AbstractUser):
    """Requires a value that the portal does not have."""

    born = models.DateField()

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Translator(AbstractBaseUser):
    """Requires a name, which the stock mapper does not know; everything else may be empty."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=60)
    nick = models.CharField(max_length=60, blank=True)
    code = models.CharField(max_length=60, default="x")
    locale = models.CharField(max_length=60, null=True)  # noqa: DJ001  a case to test
    USERNAME_FIELD = "email"

    class Meta:
        swappable = "AUTH_USER_MODEL"


class NamedManager(UserManager["Guest"]):
    """Has a condition, which adds a parameter to each query."""

    def get_queryset(self) -> models.QuerySet["Guest"]:
        return super().get_queryset().exclude(username="nobody at all")


class Guest(AbstractUser):
    """Has a custom base manager, which foreign keys use, too."""

    objects = NamedManager()

    class Meta:
        swappable = "AUTH_USER_MODEL"
        base_manager_name = "objects"


class Circle(models.Model):
    """A group that is not Django's. Its names are not unique."""

    name = models.CharField(max_length=20)
    color = models.CharField(max_length=20, default="red")


class Organizer(AbstractBaseUser):
    """Has ``is_administrator`` in place of ``is_staff``, and groups of its own."""

    username = models.CharField(max_length=30, unique=True)
    is_administrator = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    groups = models.ManyToManyField(Circle)
    USERNAME_FIELD = "username"

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Speaker(AbstractBaseUser):
    """Has groups that declare the relation themselves."""

    username = models.CharField(max_length=30, unique=True)
    USERNAME_FIELD = "username"

    class Meta:
        swappable = "AUTH_USER_MODEL"


if settings.AUTH_USER_MODEL == "user_models.Speaker":

    class Panel(models.Model):
        """A group that needs a date, so it cannot be created from its name."""

        name = models.CharField(max_length=20)
        begins = models.DateField()
        speakers = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="groups")
