"""What happens to sessions when people sign in or out, and when they or their sites change.

In: signals of Django, allauth, accounts and registry. Out: calls of ``services``. A Redis that cannot
answer never undoes what was decided: rows say what is left to do, and ``catch_up`` does it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from functools import partial
from typing import Any

from allauth.core import context
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.db.models.signals import post_save

from portal import audit
from portal.accounts.signals import sessions_must_end, users_changed
from portal.registry.signals import sites_changed, sites_changing
from sso_common.exceptions import StoreUnavailable

from .engine import SessionStore

logger = logging.getLogger("portal.sessions")

#: Where the sign-in form leaves the choice "remember me" until the last step of signing in.
REMEMBER_KEY = "sso_remember"


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="sessions.signed_in")
    # Before sso_common's own receiver, after which nobody is signed in any more: see INSTALLED_APPS.
    user_logged_out.connect(_signed_out, dispatch_uid="sessions.signed_out")
    post_save.connect(_user_saved, sender=get_user_model(), dispatch_uid="sessions.user_saved")
    users_changed.connect(_users_changed, dispatch_uid="sessions.users_changed")
    sessions_must_end.connect(_must_end, dispatch_uid="sessions.must_end")
    sites_changing.connect(_sites_changing, dispatch_uid="sessions.sites_changing")
    sites_changed.connect(_sites_changed, dispatch_uid="sessions.sites_changed")


def _signed_in(request: Any, user: Any, **_: Any) -> None:
    from . import services
    from .models import EndReason
    from .visitors import methods_of, visitor_of

    session = getattr(request, "session", None)
    # Without our middleware there is no browser to give a cookie to: a test's ``force_login``.
    if not hasattr(request, "sso") or not isinstance(session, SessionStore):
        return
    if session.identity is not None:
        services.end_session(session.identity.sid, EndReason.REPLACED)
    remember = bool(session.pop(REMEMBER_KEY, False))
    visitor = visitor_of(request)
    token, identity = services.issue(user, amr=methods_of(request), remember=remember, visitor=visitor)
    session.enter(token, identity)
    request.sso_issued = (token, identity.exp - identity.auth_time if remember else None)
    audit.record("signed_in", sub=user.pk, actor=user.pk, sid=token.sid, ip=visitor.ip)
    services.try_to_catch_up()


def _signed_out(request: Any, **_: Any) -> None:
    from . import services
    from .visitors import client_ip

    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore) or session.identity is None:
        return
    identity = session.identity
    services.note_signed_out(identity.sid)
    request.sso_ended = identity.sid
    audit.record("signed_out", sub=identity.sub, actor=identity.sub, sid=identity.sid, ip=client_ip(request))


def _user_saved(instance: Any, created: bool, using: str, **_: Any) -> None:
    """A new password ends all other sessions, whoever set it and wherever: the account page, a mailed link,
    the admin, a command."""
    # Where a sign-in only hashes the same password anew, Django leaves this empty.
    if created or instance._password is None:
        return
    transaction.on_commit(partial(_password_changed, instance), using=using, robust=True)


def _password_changed(user: Any) -> None:
    from .models import EndReason

    _end_sessions({user.pk}, _current_sid(context.request, user), EndReason.PASSWORD)


def _current_sid(request: Any, user: Any) -> str | None:
    session = getattr(request, "session", None)
    identity = session.identity if isinstance(session, SessionStore) else None
    return identity.sid if identity is not None and identity.sub == user.pk else None


def _must_end(subs: Collection[uuid.UUID], **_: Any) -> None:
    from .models import EndReason

    _end_sessions(subs, None, EndReason.ACCOUNT)


def _end_sessions(subs: Collection[uuid.UUID], except_sid: str | None, reason: Any) -> None:
    from . import services

    try:
        services.end_sessions(subs, except_sid, reason)
    except StoreUnavailable as error:
        logger.warning("Sessions end when Redis answers again: %s", error)


def _users_changed(**_: Any) -> None:
    from . import services

    services.try_to_catch_up()


def _sites_changing(**_: Any) -> None:
    from . import services

    services.mark_rules_changed()


def _sites_changed(**_: Any) -> None:
    from . import services

    services.try_to_catch_up()
