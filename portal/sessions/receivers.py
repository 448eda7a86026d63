"""Starts sessions when users sign in, and follows changes of users and sites.

A sign-out needs no receiver here: ``engine.SessionStore.sign_out`` does all of it.

A Redis that cannot answer never undoes what was decided: rows say what is left to do, and
``following.catch_up`` does it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from typing import Any

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.core import context
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from portal.accounts import lookup
from portal.accounts.announcements import account_changed, sessions_must_end, users_changed
from portal.audit import services as audit
from portal.registry.announcements import sites_changed, sites_changing
from sso_common.exceptions import StoreUnavailable
from sso_common.http import session_of

from .ending import end_session, end_sessions
from .engine import SessionStore
from .following import mark_rules_changed, try_to_catch_up
from .issuing import issue
from .models import EndReason
from .visitors import REMEMBER_KEY, client_ip, methods_of, visitor_of

logger = logging.getLogger("portal.sessions")


def portal_session(request: HttpRequest | None) -> SessionStore | None:
    """Return a request's session, or None outside of a request and without our middlewares."""
    session = session_of(request)
    return session if isinstance(session, SessionStore) else None


# --- signing in ------------------------------------------------------------------------------


@receiver(user_logged_in, dispatch_uid="sessions.signed_in")
def start_session(request: HttpRequest, user: Any, **_: Any) -> None:
    session = portal_session(request)
    # A request of a test's ``force_login`` has a session and no ``sso``; there is no browser.
    if session is None or not hasattr(request, "sso"):
        return
    # What the browser had, by either cookie.
    former = (session.identity, session.identity_at_sites, session.portal_row)
    for sid in {each.sid for each in former if each is not None}:
        end_session(sid, EndReason.REPLACED)
    remember = bool(session.pop(REMEMBER_KEY, False))
    visitor = visitor_of(request)
    issued = issue(user, amr=methods_of(request), remember=remember, visitor=visitor)
    session.enter(issued)
    audit.record("signed_in", sub=user.pk, actor=user.pk, sid=issued.token.sid, ip=visitor.ip)
    try_to_catch_up()


@receiver(user_login_failed, dispatch_uid="sessions.sign_in_failed")
def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    # Users type passwords into the wrong field. So record whose account it was, and not what was typed.
    user = lookup.by_login(str(credentials.get("username") or credentials.get("email") or ""))
    ip = client_ip(request) if request else None
    audit.record("sign_in_failed", sub=user.pk if user else None, ip=ip)


# --- passwords -------------------------------------------------------------------------------


@receiver([password_changed, password_reset, password_set], dispatch_uid="sessions.audit_password")
def record_password(user: Any, **_: Any) -> None:
    audit.record("password_changed", sub=user.pk, actor=audit.current_actor())


@receiver(post_save, sender=get_user_model(), dispatch_uid="sessions.user_saved")
def follow_password(instance: Any, created: bool, using: str, **_: Any) -> None:
    """End the other sessions of a user with a new password, wherever it was set: on the account page, by
    a link in an email, in the admin, by a command."""
    # Django leaves ``_password`` empty if a sign-in only hashes the same password again.
    if not created and instance._password is not None:
        transaction.on_commit(lambda: end_other_sessions(instance), using=using, robust=True)


def end_other_sessions(user: Any) -> None:
    """End all sessions of a user, except for that of the current request."""
    session = portal_session(context.request)
    identity = session.identity if session is not None else None
    own = identity.sid if identity is not None and identity.sub == user.pk else None
    try_to_end_sessions({user.pk}, own, EndReason.PASSWORD)


# --- users and sites -------------------------------------------------------------------------


@receiver(sessions_must_end, dispatch_uid="sessions.must_end")
def end_all_sessions(subs: Collection[uuid.UUID], **_: Any) -> None:
    try_to_end_sessions(subs, None, EndReason.ACCOUNT)


@receiver(account_changed, dispatch_uid="sessions.rights_changed")
def follow_rights(sub: uuid.UUID, after: dict[str, Any], **_: Any) -> None:
    """End the sessions of a user who becomes staff: one from before the portal's cookie may be a thief's."""
    if after.get("is_staff") or after.get("is_superuser"):
        transaction.on_commit(lambda: try_to_end_sessions({sub}, None, EndReason.ACCOUNT), robust=True)


def try_to_end_sessions(subs: Collection[uuid.UUID], except_sid: str | None, reason: EndReason) -> None:
    """``end_sessions`` for callers that must not fail if Redis does not answer."""
    try:
        end_sessions(subs, except_sid, reason)
    except StoreUnavailable as error:
        logger.warning("Sessions end when Redis answers again: %s", error)


@receiver(sites_changing, dispatch_uid="sessions.sites_changing")
def follow_sites(**_: Any) -> None:
    mark_rules_changed()


@receiver([users_changed, sites_changed], dispatch_uid="sessions.changed")
def follow_changes(**_: Any) -> None:
    try_to_catch_up()
