"""Probes of the portal and of what it must have in common with this site: clock, keys and feed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db import DatabaseError
from django.utils import timezone

from sso_common import conf, feed
from sso_common.exceptions import BadSignature, PortalUnavailable, RequestRefused, UnknownKey, Untrusted
from sso_common.feed import PortalStatus
from sso_common.models import FeedCursor
from sso_common.users import current_mapping

from .findings import Finding, failure, ok, renew_dsn, skipped, warning

#: Seconds between two clocks. At ``requests.MAX_AGE`` the portal refuses requests.
SKEW_WARNING: Final = 2.0
SKEW_FAILURE: Final = 30.0
#: Seconds since the last request for the feed, while there is something to fetch.
STALE: Final = 60.0

SYNCHRONIZE_CLOCKS: Final = "Run a time service (NTP) on both machines."
FOLLOW: Final = "Keep this running as a service: manage.py sso_sync --follow"


def reachable() -> Iterator[Finding]:
    """Examine whether the portal answers this site; if so, compare clocks, keys, roles and feed."""
    try:
        status = feed.fetch_status()
    except (PortalUnavailable, Untrusted) as error:
        yield from unanswered(error)
        return
    duration = 1000 * status.round_trip
    yield ok("portal.reachable", f"{conf.portal_internal_url()} answers within {duration:.0f} ms.")
    yield ok("portal.secret", "The portal accepts this site's secret.")
    yield clock(status)
    yield keys(status)
    if status.roles is not None:
        yield roles(status.roles)
    yield feed_position(status)


def unanswered(error: PortalUnavailable | Untrusted) -> Iterator[Finding]:
    problem = failed(error)
    yield problem
    for check in ("portal.clock", "portal.keys", "portal.roles", "feed"):
        if check != problem.check:
            yield skipped(check, "the portal gave no answer that this site trusts")


def failed(error: PortalUnavailable | Untrusted) -> Finding:
    """Return the failure for an exception that ``fetch_status`` raised."""
    address = conf.portal_internal_url()
    if isinstance(error, PortalUnavailable):
        return failure(
            "portal.reachable",
            f"The portal does not answer ({error.detail}). Users cannot sign in; users who are signed in "
            "stay signed in.",
            "Start the portal, or set SSO_PORTAL_INTERNAL_URL to its address as seen from this server.",
        )
    if isinstance(error, RequestRefused):
        return refused(error.detail)
    if isinstance(error, (UnknownKey, BadSignature)):
        return failure(
            "portal.keys",
            f"The answer from {address} is not signed with a key that this site knows.",
            f"Check that this is the portal's address. If it is: {renew_dsn()}",
        )
    return failure(
        "portal.reachable",
        f"The answer from {address} is not in a form that this site understands.",
        "Install matching versions of sso_common at the portal and at this site.",
    )


def refused(detail: str) -> Finding:
    if detail.startswith("stale"):
        message = f"The portal refuses this site's requests because the clocks disagree: {detail}."
        return failure("portal.clock", message, SYNCHRONIZE_CLOCKS)
    if detail.startswith("a redirect"):
        return failure(
            "portal.reachable",
            f"The portal's address answers with {detail}.",
            "Set SSO_PORTAL_INTERNAL_URL to the portal's own address, or do not set it.",
        )
    # The portal does not tell a stranger which of the two it is; its log does.
    return failure(
        "portal.secret",
        f"The portal has no active site named {conf.dsn().site}, or refuses this site's secret ({detail}).",
        f"At the portal, run: manage.py sso_site list. If the site is active there: {renew_dsn()}",
    )


def clock(status: PortalStatus) -> Finding:
    message = f"The portal's clock differs from this machine's by {status.skew:+.1f} s."
    # The answer may have taken any part of the round trip.
    certain = abs(status.skew) - status.round_trip / 2
    if certain <= SKEW_WARNING:
        return ok("portal.clock", message)
    report = failure if certain > SKEW_FAILURE else warning
    return report("portal.clock", message, SYNCHRONIZE_CLOCKS)


def keys(status: PortalStatus) -> Finding:
    check, ours, theirs = "portal.keys", {kid for kid, _ in conf.dsn().public_keys}, set(status.kids)
    if new := ", ".join(sorted(theirs - ours)):
        message = f"The portal has a key that this site does not know ({new}). Once it signs with that key, "
        return warning(check, message + "users cannot sign in here.", renew_dsn())
    if old := ", ".join(sorted(ours - theirs)):
        return warning(check, f"This site trusts a key that the portal has retired ({old}).", renew_dsn())
    return ok(check, f"The portal and this site know the same keys: {', '.join(sorted(ours))}.")


def roles(known: frozenset[str]) -> Finding:
    """Examine whether the settings name roles that nobody can hold."""
    named = conf.staff_roles() | conf.role_groups().keys()
    if unknown := ", ".join(sorted(named - known)):
        return warning(
            "portal.roles",
            f"SSO_STAFF_ROLES or SSO_ROLE_GROUPS names roles that this site does not have: {unknown}.",
            "Correct the setting, or add the role to this site in the portal's admin.",
        )
    return ok("portal.roles", "The portal knows every role that the settings name.")


def feed_position(status: PortalStatus) -> Finding:
    """Examine whether this site keeps up with the feed, and is not ahead of it."""
    try:
        cursor = FeedCursor.load()
    except DatabaseError as error:
        message = f"The position in the feed cannot be read ({type(error).__name__})."
        return failure("feed", message, "Run: manage.py migrate")
    behind = status.head - cursor.position
    if behind < 0:
        return failure(
            "feed",
            f"This site has read version {cursor.position} of the feed, but the portal has only "
            f"{status.head}: it was restored from a backup, or is another portal.",
            "Run: manage.py sso_sync --full",
        )
    if cursor.synced_at is None:
        return warning("feed", "This site has never read the portal's feed of users.", FOLLOW)
    age = (timezone.now() - cursor.synced_at).total_seconds()
    place = f"is {behind} versions behind the portal" if behind else "is up to date with the portal"
    message = f"This site {place}. It last read the feed {age:.0f} s ago."
    if behind and age > max(STALE, 3 * conf.poll_interval()):
        return warning("feed", message, FOLLOW)
    if cursor.mapping != current_mapping().fingerprint:
        message += " Not all users are written with the current SSO_STAFF_ROLES, SSO_ROLE_GROUPS and mapper."
        return warning("feed", message, "Restart `manage.py sso_sync --follow`, or run: manage.py sso_sync")
    return ok("feed", message)
