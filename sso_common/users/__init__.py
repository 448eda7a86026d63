"""Writes the portal's users to this site's user model, and finds them again for a request.

Nothing else at a site writes synced users. An ``Account`` links each of them to its subject.
"""

from .drift import Drift, find_drift
from .linking import Candidate, find_candidates, link_user
from .local import require_local_login, resolve_user
from .mapper import UserMapper, empty_fields, unmapped_fields
from .upsert import UpsertResult, deactivate_accounts, upsert_users

__all__ = [
    "Candidate",
    "Drift",
    "UpsertResult",
    "UserMapper",
    "deactivate_accounts",
    "empty_fields",
    "find_candidates",
    "find_drift",
    "link_user",
    "require_local_login",
    "resolve_user",
    "unmapped_fields",
    "upsert_users",
]
