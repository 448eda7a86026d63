"""Writes the portal's users to this site's user model, and finds them again for a request.

Nothing else at a site writes synced users. An ``Account`` links each of them to its subject.
"""

from .deactivation import deactivate_accounts
from .drift import Drift, find_drift
from .groups import role_groups
from .linking import Candidate, find_candidates, link_user
from .local import is_linked_name, require_local_login, resolve_user
from .mapper import UserMapper, empty_fields, synced_fields, unmapped_fields
from .mapping import current_mapping
from .passwords import count_passwords, keep_unusable, remove_passwords
from .upsert import Mode, UpsertResult, upsert_users

__all__ = [
    "Candidate",
    "Drift",
    "Mode",
    "UpsertResult",
    "UserMapper",
    "count_passwords",
    "current_mapping",
    "deactivate_accounts",
    "empty_fields",
    "find_candidates",
    "find_drift",
    "is_linked_name",
    "keep_unusable",
    "link_user",
    "remove_passwords",
    "require_local_login",
    "resolve_user",
    "role_groups",
    "synced_fields",
    "unmapped_fields",
    "upsert_users",
]
