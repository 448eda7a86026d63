"""Issues sessions at sign-in."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from portal.registry import access
from sso_common import store
from sso_common.identity import Identity
from sso_common.tokens import SessionToken, mint_token

from . import records
from .ending import end_session
from .models import EndReason, Session
from .portal_cookie import sso_token
from .resigning import resign
from .signing import sign_record
from .visitors import Visitor

NO_VISITOR = Visitor()


class Issued(NamedTuple):
    """A session that the portal has started."""

    #: Goes into the SSO cookie.
    token: SessionToken
    #: Goes into the portal's own cookie.
    portal_token: SessionToken
    identity: Identity
    remember: bool


def issue(user: Any, *, amr: Sequence[str], remember: bool, visitor: Visitor = NO_VISITOR) -> Issued:
    """Start a session: a row, an identity record and an index entry. Raises ``StoreUnavailable``."""
    portal_token = mint_token()
    token = sso_token(portal_token)
    identity = make_identity(user, token, amr, remember=remember)
    with transaction.atomic():
        Session.objects.create(
            sid=token.sid,
            user=user,
            auth_time=moment(identity.auth_time),
            expires=moment(identity.exp),
            idle=identity.idle,
            remember=remember,
            ip=visitor.ip,
            user_agent=visitor.user_agent[:300],
            portal_bind=portal_token.bind,
        )
        # Inside of the transaction: if Redis refuses, there is no row either.
        record = sign_record(identity)
        store.run(records.write_record(user.pk, token.sid, record, identity.idle, identity.exp))
    follow_concurrent_change(user, identity)
    end_oldest(user)
    return Issued(token, portal_token, identity, remember)


def make_identity(user: Any, token: SessionToken, amr: Sequence[str], *, remember: bool) -> Identity:
    """Return the identity of a user who signs in now."""
    idle = settings.SSO_IDLE_REMEMBERED if remember else settings.SSO_IDLE
    absolute = settings.SSO_ABSOLUTE_REMEMBERED if remember else settings.SSO_ABSOLUTE
    now = int(time.time())
    return Identity(
        sid=token.sid,
        bind=token.bind,
        # ``not_before`` may be one second ahead: users can sign in again right after they have signed out
        # everywhere.
        auth_time=max(now, user.not_before),
        iat=now,
        exp=now + absolute,
        idle=min(idle, absolute),
        amr=tuple(amr),
        user=user.to_snapshot(),
        sites=access.access_map(user),
    )


def end_oldest(user: Any) -> None:
    """End a user's oldest sessions, so that ``SSO_SESSIONS_PER_USER`` are left."""
    live = Session.objects.live().filter(user=user).order_by("-auth_time", "sid")
    for sid in live.values_list("sid", flat=True)[settings.SSO_SESSIONS_PER_USER :]:
        end_session(sid, EndReason.TOO_MANY)


def follow_concurrent_change(user: Any, identity: Identity) -> None:
    """Apply a change that was committed before the index listed the session."""
    current = get_user_model().objects.filter(pk=user.pk).first()
    if current is None or not current.is_active or current.not_before > identity.auth_time:
        end_session(identity.sid, EndReason.ACCOUNT)
    # A change of a site's rules gives no user a new version.
    elif current.version != identity.user.version or access.access_map(current) != identity.sites:
        resign([user.pk])


def moment(epoch: int) -> datetime.datetime:
    """Convert seconds since the epoch."""
    return datetime.datetime.fromtimestamp(epoch, tz=datetime.UTC)
