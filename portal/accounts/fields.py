"""User fields whose changes are published or audited."""

from __future__ import annotations

from typing import Final

#: What a site can see. A write that changes none of these allocates no version, so sign-ins
#: (``last_login``) never wait for the counter.
VISIBLE: Final = frozenset(
    {"username", "email", "email_verified", "first_name", "last_name", "is_active", "not_before"}
)

#: What a user may do at the portal.
RIGHTS: Final = frozenset({"is_staff", "is_superuser"})

#: Changes to these fields send ``account_changed``.
AUDITED: Final = RIGHTS | {"is_active", "email"}

#: ``User.save`` writes these only if they were changed since they were loaded.
TRACKED: Final = VISIBLE | RIGHTS
