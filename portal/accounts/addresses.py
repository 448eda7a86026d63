"""A user's email addresses, according to allauth's ``EmailAddress``.

The model is imported in the functions: it has a foreign key to ``User`` and is loaded after it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef
from django.db.models.functions import Lower


def verified_address() -> Exists:
    """Return the condition that a row of users has a verified address."""
    from allauth.account.models import EmailAddress

    return Exists(
        EmailAddress.objects.filter(user_id=OuterRef("pk"), verified=True, email__iexact=OuterRef("email"))
    )


def has_verified_address(user: Any, using: str) -> bool:
    """Return whether the address on this instance, saved or not, is verified."""
    from allauth.account.models import EmailAddress

    rows = EmailAddress.objects.using(using)
    return rows.filter(user_id=user.pk, verified=True, email__iexact=user.email).exists()


def forget_former_addresses(subs: Collection[uuid.UUID], using: str) -> None:
    """Leave users whose address has changed with the new one, so that no link is sent to a former one."""
    from allauth.account.models import EmailAddress

    rows = EmailAddress.objects.using(using)
    current = Lower("user__email")
    rows.filter(user__in=subs).exclude(email=current).delete()
    rows.filter(user__in=subs, primary=False).update(primary=True)
    have = set(rows.filter(user__in=subs).values_list("user_id", flat=True))
    lacking = get_user_model().objects.using(using).filter(pk__in=set(subs) - have).values_list("pk", "email")
    rows.bulk_create([EmailAddress(user_id=sub, email=email.lower(), primary=True) for sub, email in lacking])
