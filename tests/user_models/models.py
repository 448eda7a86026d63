"""Ways in which a site's user model may differ from Django's own; the setting chooses one of them."""

import uuid

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser, PermissionsMixin, UserManager
from django.db import models
from django.db.models.functions import Lower


class Member(AbstractBaseUser):
    """A UUID for a key, and the e-mail address for a name; nothing else."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Player(AbstractBaseUser, PermissionsMixin):
    """Short names, and an address that is unique if there is one."""

    username = models.CharField(max_length=12, unique=True)
    email = models.EmailField(null=True)  # noqa: DJ001  that is the case to test
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "username"

    class Meta:
        swappable = "AUTH_USER_MODEL"
        constraints = [models.UniqueConstraint(Lower("email"), name="one_player_per_address")]


class Record(models.Model):
    """Something that more than users are."""

    note = models.CharField(max_length=20, default="made here")


class Employee(Record, AbstractUser):
    """A table that continues another one."""

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Author(AbstractUser):
    """The portal's subject is the key."""

    sub = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        swappable = "AUTH_USER_MODEL"


class Pupil(AbstractUser):
    """Something that the portal does not know has to be known."""

    born = models.DateField()

    class Meta:
        swappable = "AUTH_USER_MODEL"


class NamedManager(UserManager["Guest"]):
    """A base manager with a condition, and so with a parameter, of its own."""

    def get_queryset(self) -> models.QuerySet["Guest"]:
        return super().get_queryset().exclude(username="nobody at all")


class Guest(AbstractUser):
    """Read through a base manager of its own, also by foreign keys."""

    objects = NamedManager()

    class Meta:
        swappable = "AUTH_USER_MODEL"
        base_manager_name = "objects"
