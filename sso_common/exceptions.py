"""What can go wrong, in one tree of three branches: absent, untrusted, unavailable.

Absent is ordinary (nobody is signed in). Untrusted is an attack or a broken deployment.
Unavailable says nothing about the visitor, and must never be taken for absent.
"""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ImproperlyConfigured


class SSOError(Exception):
    """Single sign-on failed."""

    #: A stable word for logs and for the page that explains the failure.
    reason: ClassVar[str] = "error"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        message = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{message} ({detail})" if detail else message)


class Absent(SSOError):
    """Nobody is signed in."""

    reason = "absent"


class NoToken(Absent):
    """The browser sent no SSO cookie."""

    reason = "no-cookie"


class NoIdentity(Absent):
    """The session has ended: the store holds no identity record for it."""

    reason = "ended"


class IdentityExpired(Absent):
    """The session has reached its absolute expiry."""

    reason = "expired"


class SessionRevoked(Absent):
    """The session is older than the last time that all of the user's sessions were ended."""

    reason = "revoked"


class UserInactive(Absent):
    """The user has been deactivated."""

    reason = "inactive"


class NotAdmitted(Absent):
    """Signed in, but not admitted to this site."""

    reason = "not-admitted"


class Untrusted(SSOError):
    """Something was presented that the portal did not issue."""

    reason = "untrusted"


class MalformedToken(Untrusted):
    """The SSO cookie does not hold a session token."""

    reason = "malformed-cookie"


class ConflictingTokens(Untrusted):
    """Two different SSO cookies arrived in one request; a sibling host may be tossing cookies."""

    reason = "two-cookies"


class MalformedRecord(Untrusted):
    """The identity record is not in the form that the portal writes."""

    reason = "malformed-record"


class UnknownKey(Untrusted):
    """The identity record is signed with a key that this site does not know."""

    reason = "unknown-key"


class BadSignature(Untrusted):
    """The signature does not match."""

    reason = "bad-signature"


class WrongSession(Untrusted):
    """The identity record was issued for another session."""

    reason = "wrong-session"


class WrongSecret(Untrusted):
    """The token's secret does not open this session."""

    reason = "wrong-secret"


class MalformedSnapshot(Untrusted):
    """A user snapshot is not in the form that the portal sends."""

    reason = "malformed-snapshot"


class RequestRefused(Untrusted):
    """The portal refused the site's signed request."""

    reason = "request-refused"


class MalformedFeed(Untrusted):
    """The answer of the portal's feed is not in the form that the portal sends."""

    reason = "malformed-feed"


class FeedRewound(Untrusted):
    """The portal has fewer versions than this site has read: it was restored from a backup, or is another."""

    reason = "feed-rewound"


class Unavailable(SSOError):
    """A part that is needed to answer did not answer."""

    reason = "unavailable"


class StoreUnavailable(Unavailable):
    """The session store (Redis) cannot answer."""

    reason = "store-unavailable"


class StoreRefused(StoreUnavailable):
    """Redis refused a command."""


class PortalUnavailable(Unavailable):
    """The portal cannot answer."""

    reason = "portal-unavailable"


class InvalidDsn(ImproperlyConfigured):
    """SSO_DSN cannot be used as it is; the message says which part and what it should be."""
