"""One model for each kind of relation."""

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

USER = settings.AUTH_USER_MODEL


class Letter(models.Model):
    """Two foreign keys to a user."""

    sender = models.ForeignKey(USER, models.CASCADE, related_name="sent")
    reader = models.ForeignKey(USER, models.PROTECT, null=True, related_name="+")


class Profile(models.Model):
    """At most one for each user."""

    user = models.OneToOneField(USER, models.CASCADE)
    text = models.CharField(max_length=20)


class Desk(models.Model):
    """Has the user as its primary key."""

    user = models.OneToOneField(USER, models.CASCADE, primary_key=True)


class Drawer(models.Model):
    """Refers to that primary key."""

    desk = models.ForeignKey(Desk, models.CASCADE)


class Vote(models.Model):
    """One for each user and subject."""

    user = models.ForeignKey(USER, models.CASCADE)
    about = models.CharField(max_length=20)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "about"], name="one_vote_each")]


class Team(models.Model):
    """Has members, and a leader that a deletion would only unset."""

    members: Any = models.ManyToManyField(USER, related_name="teams")
    leader = models.ForeignKey(USER, models.SET_NULL, null=True, related_name="+")


class Tag(models.Model):
    """Belongs to any row."""

    kind = models.ForeignKey(ContentType, models.CASCADE)
    key = models.CharField(max_length=40)
    target = GenericForeignKey("kind", "key")
