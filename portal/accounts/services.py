"""What can be done to an account, beyond changing its fields."""

from __future__ import annotations

import time

from django.db.models import F

from .models import User
from .querysets import later_than


def sign_out_everywhere(user: User) -> None:
    """End all sessions of a user, including any that a failover of Redis might bring back."""
    User.objects.filter(pk=user.pk).update(not_before=later_than(F("not_before"), time.time()))
    user.refresh_from_db(fields=["not_before", "version"])
