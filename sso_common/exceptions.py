"""The exceptions, in one tree with three branches: absent, untrusted, unavailable.

Absent is ordinary: no user is signed in. Untrusted is an attack or a broken deployment. Unavailable says
nothing about the visitor, and is never treated as absent.
"""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ImproperlyConfigured, PermissionDenied


class SSOError(Exception):
    """Single sign-on failed."""

    #: A stable identifier, for logs and for the page that explains the failure.
    reason: ClassVar[str] = "error"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        message = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{message} ({detail})" if detail else message)


class Absent(SSOError):
    """No user is signed in."""

    reason = "absent"


class NoToken(Absent):
    """The browser sent no SSO cookie."""

    reason = "no-cookie"


class NoIdentity(Absent):
    """The session has ended: the store has no identity record for it."""

    reason = "ended"


class IdentityExpired(Absent):
    """The session has reached its absolute expiry."""

    reason = "expired"


class SessionRevoked(Absent):
    """The session began before all sessions of the user were ended."""

    reason = "revoked"


class UserInactive(Absent):
    """The user is inactive."""

    reason = "inactive"


class NotAdmitted(Absent):
    """The user is signed in, but has no access to this site."""

    reason = "not-admitted"


class LocalLoginRefused(Absent, PermissionDenied):
    """The user is linked to a subject, and signs in at the portal."""

    reason = "local-login"


class UserReplaced(Absent):
    """The session has a user, but something at this site has replaced request.user."""

    reason = "user-replaced"


class Untrusted(SSOError):
    """The portal did not issue what was presented."""

    reason = "untrusted"


class MalformedToken(Untrusted):
    """The SSO cookie does not contain a session token."""

    reason = "malformed-cookie"


class ConflictingTokens(Untrusted):
    """The request has two different SSO cookies; a sibling host may be tossing cookies."""

    reason = "two-cookies"


class MalformedRecord(Untrusted):
    """The identity record does not have the portal's format."""

    reason = "malformed-record"


class UnknownKey(Untrusted):
    """The signing key is not known to this site."""

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
    """The user snapshot does not have the portal's format."""

    reason = "malformed-snapshot"


class RequestRefused(Untrusted):
    """The portal refused the site's signed request."""

    reason = "request-refused"


class MalformedFeed(Untrusted):
    """The feed's answer does not have the portal's format."""

    reason = "malformed-feed"


class FeedRewound(Untrusted):
    """The portal's newest version is older than what this site has read. It was restored from a backup, or
    it is another portal."""

    reason = "feed-rewound"


class Unavailable(SSOError):
    """A service that is needed did not answer."""

    reason = "unavailable"


class StoreUnavailable(Unavailable):
    """The session store (Redis) cannot answer."""

    reason = "store-unavailable"


class StoreRefused(StoreUnavailable):
    """Redis refused a command."""


class DatabaseUnavailable(Unavailable):
    """The database cannot say which user of this site is signed in."""

    reason = "database-unavailable"


class PortalUnavailable(Unavailable):
    """The portal cannot answer."""

    reason = "portal-unavailable"


class InvalidDsn(ImproperlyConfigured):
    """SSO_DSN is invalid. The message says which part, and what it should be."""
