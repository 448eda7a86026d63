"""Finds users by what people type: a username, or an email address.

The queries use the indexes on ``LOWER(username)`` and on ``EmailAddress.email``; ``iexact`` compiles to
``UPPER``, for which there is none. Only a confirmed address stands for its user, so somebody else's mistyped
address neither receives a link nor stands in the way of its owner.

allauth's models are imported in the functions: they have a foreign key to ``User`` and are loaded after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Value
from django.db.models.functions import Lower

if TYPE_CHECKING:
    from .models import User


def by_login(text: str) -> User | None:
    """Return the user with this confirmed email address or this username, in any case, or None.

    The address counts first: nobody can take it as a username to stand in its owner's way. Both queries are
    always made, so that the time does not tell which of the two exists.
    """
    owner, namesake = by_email(text), by_username(text)
    return owner or namesake


def by_username(username: str) -> User | None:
    """Return the user with this username, in any case, or None."""
    rows = get_user_model().objects.alias(lower=Lower("username"))
    return rows.filter(lower=Lower(Value(without_nul(username)))).first()


def by_email(address: str) -> User | None:
    """Return the user who has confirmed this address, or None."""
    from allauth.account.models import EmailAddress

    rows = EmailAddress.objects.filter(email=without_nul(address).lower(), verified=True)
    row = rows.select_related("user").first()
    return row.user if row is not None else None


def invited(address: str) -> User | None:
    """Return the user whom staff have added with this address and who is still to set a password, or None."""
    from .imported import ImportedAccount

    rows = get_user_model().objects.filter(last_login=None, email_verified=False).alias(lower=Lower("email"))
    user = rows.filter(lower=Lower(Value(without_nul(address)))).first()
    if user is None or ImportedAccount.objects.filter(sub=user.pk).exists():
        return None  # an imported account has data at its site, and the site has not confirmed the address
    # Nobody has ever signed in: the owner of the mailbox takes over what a stranger has signed up with it.
    is_signed_up = settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory"
    return user if is_signed_up or not user.has_usable_password() else None


def without_nul(text: str) -> str:
    """PostgreSQL refuses a NUL, which no name and no address contains."""
    return text if "\x00" not in text else ""
