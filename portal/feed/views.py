"""The API for sites: users, and the portal's state."""

from __future__ import annotations

import logging
import time
from typing import Final

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from portal import keys
from portal.accounts import versions
from portal.registry.models import Site
from portal.sessions import services as sessions
from sso_common.snapshot import MAX_VERSION

from .auth import for_sites
from .snapshots import read_page

logger = logging.getLogger("portal.feed")

MAX_LIMIT: Final = 1000


@require_GET
@for_sites
def users(request: HttpRequest, site: Site) -> JsonResponse:
    """``?after=N&limit=M``: the users that changed after version N, by version."""
    after = _number(request, "after", 0, MAX_VERSION)
    limit = _number(request, "limit", MAX_LIMIT, MAX_LIMIT)
    if after is None or limit is None:
        return JsonResponse({"error": "bad-request"}, status=400)
    page = read_page(site, after, max(1, limit))
    if not page.more:
        # Sites ask every few seconds: so the portal learns in time who was signed out where.
        sessions.try_to_catch_up()
    if after > page.head:
        logger.error(
            "Site %s has read the feed up to version %s, and there are only %s: this database was restored "
            "from a backup, or is another one. The site needs `manage.py sso_sync --full`.",
            site.name,
            after,
            page.head,
        )
    return JsonResponse(page.to_wire())


def _number(request: HttpRequest, name: str, default: int, maximum: int) -> int | None:
    text = request.GET.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    return min(int(text), maximum)


@require_GET
@for_sites
def status(_request: HttpRequest, _site: Site) -> JsonResponse:
    """The portal's clock, the ids of its keys, and the newest version there is."""
    return JsonResponse(
        {
            "time": time.time(),
            "kids": [kid for kid, _ in keys.public_keys()],
            "head": versions.head(),
            "portal": "ok",
        }
    )
