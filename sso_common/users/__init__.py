"""Writes the portal's users to this site's user model, and finds them again for a request.

Nothing else at a site writes synced users. An ``Account`` links each of them to its subject.
"""

from .drift import Drift, find_drift
from .linking import Candidate, find_candidates, link_user
from .local import resolve_user
from .mapper import UserMapper, local_values, unmapped_fields
from .results import Conflict, Failure, UpsertResult
from .unique import unique_text_fields
from .upsert import deactivate_accounts, upsert_users

__all__ = [
    "Candidate",
    "Conflict",
    "Drift",
    "Failure",
    "UpsertResult",
    "UserMapper",
    "deactivate_accounts",
    "find_candidates",
    "find_drift",
    "link_user",
    "local_values",
    "resolve_user",
    "unique_text_fields",
    "unmapped_fields",
    "upsert_users",
]
