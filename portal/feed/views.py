"""The API for sites."""

from __future__ import annotations

import logging
import time
from typing import Final

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from portal.accounts import versions
from portal.keys import keyring
from portal.registry.models import Site
from portal.sessions.following import try_to_catch_up
from sso_common.snapshot import MAX_VERSION

from .auth import for_sites
from .snapshots import read_page

logger = logging.getLogger("portal.feed")

MAX_LIMIT: Final = 1000


@require_GET
@for_sites
def users(request: HttpRequest, site: Site) -> JsonResponse:
    """``?after=N&limit=M``: users that have changed after version N, by version."""
    after = number(request, "after", 0, MAX_VERSION)
    limit = number(request, "limit", MAX_LIMIT, MAX_LIMIT)
    if after is None or limit is None:
        return JsonResponse({"error": "bad-request"}, status=400)
    page = read_page(site, after, max(1, limit))
    if not page.more:
        # Sites poll every few seconds, so the portal soon learns of sign-outs at the sites.
        try_to_catch_up()
    if after > page.head:
        logger.error(
            "Site %s has read the feed up to version %s, but the newest version is %s. The portal's database "
            "was restored from a backup or replaced. Run `manage.py sso_sync --full` at the site.",
            site.name,
            after,
            page.head,
        )
    return JsonResponse(page.to_wire())


def number(request: HttpRequest, name: str, default: int, maximum: int) -> int | None:
    """Return a whole number from the query, at most the maximum; None if it is invalid."""
    text = request.GET.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    return min(int(text), maximum)


@require_GET
@for_sites
def status(_request: HttpRequest, site: Site) -> JsonResponse:
    """The portal's clock, the ids of its public keys, the newest version, and the roles of the site."""
    return JsonResponse(
        {
            "time": time.time(),
            "kids": [kid for kid, _ in keyring().public_keys],
            "head": versions.head(),
            "roles": sorted(site.roles.values_list("name", flat=True)),
            "portal": "ok",
        }
    )
