"""Whether a user's email address is verified, according to allauth's ``EmailAddress``.

The model is imported in the functions: it has a foreign key to ``User`` and is loaded after it.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef


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
