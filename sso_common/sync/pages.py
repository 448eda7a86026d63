"""The feed, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sso_common import feed
from sso_common.feed import FeedPage

#: Called after each page with (users read, last version read, newest version at the portal).
Progress = Callable[[int, int, int], None]


def ignore_progress(done: int, position: int, head: int) -> None:
    """Discard progress reports."""


def pages(after: int) -> Iterator[FeedPage]:
    """Yield the pages after a version. Raises what ``feed.fetch_page`` raises."""
    more = True
    while more:
        page = feed.fetch_page(after)
        yield page
        after, more = page.cursor, page.more
