"""What staff of the portal may do to others.

Nobody gives a role that they do not hold, and nobody changes the account of somebody who holds more.
Superusers may do everything.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from .models import Role


def roles_to_give(actor: Any) -> QuerySet[Role]:
    """Return the roles that a member of staff may give and take away."""
    return Role.objects.all() if actor.is_superuser else Role.objects.filter(grants__user=actor)


def who_hold_no_more(users: QuerySet[Any], actor: Any) -> QuerySet[Any]:
    """Return those of the users who hold no role that the member of staff does not hold."""
    if actor.is_superuser:
        return users
    return users.exclude(grants__role__in=Role.objects.exclude(grants__user=actor))
