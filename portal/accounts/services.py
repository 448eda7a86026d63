"""What may be done to a person's account, beyond changing fields.

Called by the account pages, the admin and commands.
"""

from __future__ import annotations

import time

from django.db.models import F

from .models import User, later_than


def sign_out_everywhere(user: User) -> None:
    """End every session of a user, this one included, and those that a failover might bring back."""
    User.objects.filter(pk=user.pk).update(not_before=later_than(F("not_before"), time.time()))
    user.refresh_from_db(fields=["not_before", "version"])
