"""Brings this site's users in line with the portal's feed: ``manage.py sso_sync``."""

from .apply import FullResult, sync_full, sync_once
from .compare import Report, verify
from .follow import follow_feed
from .pages import Progress, ignore_progress, pages

__all__ = [
    "FullResult",
    "Progress",
    "Report",
    "follow_feed",
    "ignore_progress",
    "pages",
    "sync_full",
    "sync_once",
    "verify",
]
