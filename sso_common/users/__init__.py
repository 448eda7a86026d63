"""Writes the portal's users to this site's user model, and finds them again for a request.

Nothing else at a site writes synced users. An ``Account`` links each of them to its subject.
"""

from .drift import Drift, find_drift
from .groups import role_groups
from .linking import Candidate, find_candidates, link_user
from .local import require_local_login, resolve_user
from .mapper import UserMapper, synced_fields, unmapped_fields
from .mapping import current_mapping
from .upsert import UpsertResult, deactivate_accounts, upsert_users

__all__ = [
    "Candidate",
    "Drift",
    "UpsertResult",
    "UserMapper",
    "current_mapping",
    "deactivate_accounts",
    "find_candidates",
    "find_drift",
    "link_user",
    "require_local_login",
    "resolve_user",
    "role_groups",
    "synced_fields",
    "unmapped_fields",
    "upsert_users",
]
